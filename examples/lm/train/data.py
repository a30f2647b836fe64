"""Training batches and held-out evaluation, both fed by the C++ generator."""
import json
import subprocess

import torch
from tokenizers import Tokenizer
from torch.nn import functional as F

END = "<|endoftext|>"
SHARD_STEPS = 64  # documents are generated and tokenized for this many steps at a time


def generate(binary, **options):
    command = [binary]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


class Batches:
    """Rows of length + 1 tokens, each starting with a document and filled with further ones.

    A step's rows follow from (seed, length, shard of the step) alone, so resuming repeats nothing.
    """

    def __init__(self, a, length):
        self.a, self.length = a, length
        self.rows = max(1, a.batch_tokens // length)
        self.tokenizer = Tokenizer.from_file(a.tokenizer)
        self.end = self.tokenizer.token_to_id(END)
        self.shard = None

    def next(self, step):
        if self.shard != step // SHARD_STEPS:
            self.shard = step // SHARD_STEPS
            self.load()
        first = step % SHARD_STEPS * self.rows
        part = slice(first, first + self.rows)
        return self.ids[part].to(self.a.device), self.weights[part].to(self.a.device)

    def load(self):
        count = SHARD_STEPS * self.rows
        # A third of the rows hold one document of full length, the others two or three.
        documents = [self.documents(count, self.length), self.documents(2 * count, self.length // 2)]
        picked = torch.Generator().manual_seed(self.a.seed * 1_000_003 + self.shard)
        choice = torch.randint(3, (count,), generator=picked).tolist()
        whole, halves = iter(documents[0]), iter(documents[1])
        rows = [self.fill(next(whole), halves, c) for c in choice]
        self.ids = torch.tensor([r[0] for r in rows])
        self.weights = torch.tensor([r[1] for r in rows])

    def fill(self, whole, halves, choice):
        ids, weights = ([], []) if choice else whole
        while len(ids) < self.length + 1:
            more = next(halves, whole)
            ids, weights = ids + more[0], weights + more[1]
        return ids[: self.length + 1], weights[: self.length + 1]

    def documents(self, count, length):
        seed = ((self.a.seed * 4096 + self.length) * 65536 + self.shard) * 65536 * 2
        if length != self.length:
            seed += 65536
        documents = generate(self.a.generate, split="train", task="mix", seed=seed, count=count,
                             length=max(96, length - 2))
        pieces = [p for d in documents for p in d["pieces"]]
        encoded = iter(self.tokenizer.encode_batch_fast([p[0] for p in pieces]))
        for d in documents:
            ids, weights = [], []
            recall = len(d["pieces"]) > 1
            for _, answer in d["pieces"]:
                new = next(encoded).ids
                ids += new
                weights += [self.weight(answer, recall)] * len(new)
            yield ids + [self.end], weights + [1.0]

    def weight(self, answer, recall):
        """Statements cannot be predicted, answers can; plain stories count fully."""
        return self.a.answer_weight if answer else self.a.context_weight if recall else 1.0


@torch.no_grad()
def token_losses(model, prompts, answers, device):
    """Per sample: (summed loss of the answer tokens, greedy continuation equals the answer)."""
    out = []
    for prompt, answer in zip(prompts, answers):
        ids = torch.tensor([prompt + answer], device=device)
        with torch.autocast(device, torch.bfloat16):
            logits = model(ids[:, :-1])[0, -len(answer):].float()
        target = ids[0, -len(answer):]
        loss = F.cross_entropy(logits, target, reduction="sum").item()
        out.append((loss, bool((logits.argmax(-1) == target).all())))
    return out


def evaluate(model, a, length, samples, seed=77_000_000, split="eval", no_context=True):
    """Scores at a context of `length` less room for the question, dense, on held-out samples."""
    tokenizer = Tokenizer.from_file(a.tokenizer)
    context = max(96, length - (96 if length >= 512 else 48))
    encode = lambda text: tokenizer.encode(text).ids
    row = {}
    for task in ("needle", "vartrack", "choice"):
        made = generate(a.generate, split=split, task=task, seed=seed, count=samples, length=context)
        for name, keep in (("", True), ("_no_context", False))[: 1 + no_context]:
            prompts = [encode((s["context"] if keep else "") + s["question"]) for s in made]
            row[task + name] = round(score(model, made, prompts, encode, a.device), 4)
    made = generate(a.generate, split=split, task="text", seed=seed, count=min(samples, 64),
                    length=max(96, context * 3 // 4))
    texts = [(encode(s["context"]), encode(s["answer"])) for s in made]
    losses = token_losses(model, [t[0] for t in texts], [t[1] for t in texts], a.device)
    row["text_loss"] = round(sum(l for l, _ in losses) / sum(len(t[1]) for t in texts), 4)
    return row


def score(model, made, prompts, encode, device):
    if not made[0]["choices"]:
        results = token_losses(model, prompts, [encode(s["answer"]) for s in made], device)
        return sum(hit for _, hit in results) / len(made)
    right = 0
    for s, prompt in zip(made, prompts):
        options = [encode(c) for c in s["choices"]]
        losses = [l for l, _ in token_losses(model, [prompt] * 4, options, device)]
        right += losses.index(min(losses)) == s["correct"]
    return right / len(made)

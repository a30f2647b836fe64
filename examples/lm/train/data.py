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
        # Statements hardly teach: a random part of their tokens is enough.
        dropped = torch.rand(self.weights.shape, generator=picked) > self.a.context_share
        self.weights[dropped & (self.weights == self.a.context_weight)] = 0

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
def answer_loss(model, prompt, answer, device):
    """(summed loss of the answer's tokens, whether the greedy continuation is the answer)."""
    ids = torch.tensor([prompt + answer], device=device)
    with torch.autocast(device, torch.bfloat16, enabled=model.training_precision):
        logits = model(ids[:, :-1])[0, -len(answer):].float()
    target = ids[0, -len(answer):]
    loss = F.cross_entropy(logits, target, reduction="sum").item()
    return loss, bool((logits.argmax(-1) == target).all())


@torch.no_grad()
def option_losses(model, prompt, options, device):
    """Summed loss of each option after the prompt; one forward pass when each is one token."""
    if any(len(o) > 1 for o in options):
        return [answer_loss(model, prompt, o, device)[0] for o in options]
    ids = torch.tensor([prompt], device=device)
    with torch.autocast(device, torch.bfloat16, enabled=model.training_precision):
        logits = model(ids)[0, -1].float()
    return (-logits.log_softmax(-1))[[o[0] for o in options]].tolist()


def judge(model, sample, encode, device, with_context=True):
    prompt = encode((sample["context"] if with_context else "") + sample["question"])
    if not sample["choices"]:
        return answer_loss(model, prompt, encode(sample["answer"]), device)[1]
    losses = option_losses(model, prompt, [encode(c) for c in sample["choices"]], device)
    return losses.index(min(losses)) == sample["correct"]


def text_loss(model, made, encode, device):
    """Mean loss per token of the stories' continuations."""
    total = count = 0
    for sample in made:
        answer = encode(sample["answer"])
        total += answer_loss(model, encode(sample["context"]), answer, device)[0]
        count += len(answer)
    return total / count


TASKS = ("needle", "vartrack", "choice")
HELD_OUT_SEED = 77_000_000


def evaluate(model, a, context, samples, seed=HELD_OUT_SEED):
    """Dense scores on held-out samples of `context` tokens, with and without the context."""
    tokenizer = Tokenizer.from_file(a.tokenizer)
    encode = lambda text: tokenizer.encode(text).ids
    made = lambda task, n, length: generate(a.generate, split="eval", task=task, seed=seed, count=n,
                                            length=length)
    row = {"context": context}
    for task in TASKS:
        batch = made(task, samples, context)
        for name, keep in (("", True), ("_no_context", False)):
            hits = [judge(model, s, encode, a.device, keep) for s in batch]
            row[task + name] = round(sum(hits) / samples, 4)
    stories = made("text", min(samples, 64), max(96, context * 3 // 4))
    row["text_loss"] = round(text_loss(model, stories, encode, a.device), 4)
    return row

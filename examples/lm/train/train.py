"""Trains rota-synth: python train.py --generate build/generate --run runs/a [--resume]

The corpus is made on the fly by the generator and never repeats. The schedule is a list of stages
of growing length. A run is a folder: settings, log, checkpoint (atomic, with optimizer state) and
metrics. Stop it at any time and start it again with --resume.
"""
import argparse
import csv
import json
import math
import os
import pathlib
import signal
import time

import torch
from torch.nn import functional as F

from data import Batches, evaluate
from model import Config, Qwen2


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--generate", required=True, help="the compiled generator")
    p.add_argument("--tokenizer", default="../checkpoints/rota-synth/tokenizer.json")
    p.add_argument("--run", type=pathlib.Path, required=True, help="folder of this run")
    p.add_argument("--resume", action="store_true")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--stages", default="128:10,256:8,512:10,1280:16", help="length:Mtokens,...")
    p.add_argument("--batch-tokens", type=int, default=8192)
    p.add_argument("--lr", type=float, default=3e-3)
    p.add_argument("--warmup", type=int, default=200, help="steps")
    p.add_argument("--decay", type=float, default=0.3, help="last part of the tokens, to zero")
    p.add_argument("--answer-weight", type=float, default=4.0)
    p.add_argument("--context-weight", type=float, default=0.5)
    p.add_argument("--context-share", type=float, default=0.4, help="statements' tokens with loss")
    p.add_argument("--layers", type=int, default=4)
    p.add_argument("--mlp", type=int, default=704)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--compile", action="store_true")
    p.add_argument("--eval-every", type=int, default=400, help="steps")
    p.add_argument("--eval-samples", type=int, default=64)
    p.add_argument("--stop-after", type=float, default=1e9, help="seconds; saves and leaves")
    return p.parse_args()


def parse_stages(text):
    """[(length, end in tokens)], the ends cumulative."""
    stages, total = [], 0
    for part in text.split(","):
        length, millions = part.split(":")
        total += int(float(millions) * 1e6)
        stages.append((int(length), total))
    return stages


def stage_length(stages, tokens):
    return next((n for n, end in stages if tokens < end), stages[-1][0])


def learning_rate(a, step, tokens, total):
    """Warm up, hold, then fall linearly to a hundredth (WSD)."""
    left = (total - tokens) / (a.decay * total)
    return a.lr * min(1.0, (step + 1) / a.warmup, max(left, 0.01))


def loss_of(model, ids, weights):
    """Weighted mean loss; tokens of weight 0 are not even projected to logits."""
    w = weights[:, 1:]
    wanted = w > 0
    targets, w = ids[:, 1:][wanted], w[wanted]
    losses = F.cross_entropy(model(ids[:, :-1], wanted).float(), targets, reduction="none")
    answers = (w > 1).float()
    with torch.no_grad():
        shown = (losses.mean(), (losses * answers).sum() / answers.sum().clamp(min=1))
    return (losses * w).sum() / w.sum(), shown


def save(path, state):
    """Atomic: a reader or a crash sees the old file or the new one."""
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    os.replace(temporary, path)


def make_optimizer(model, a):
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=a.lr, betas=(0.9, 0.95), eps=1e-9, fused=True)


class Log:
    """loss.csv, appended; a resumed run drops rows past its checkpoint."""

    FIELDS = ["step", "tokens", "length", "loss", "answer_loss", "lr", "tokens_per_s", "seconds"]

    def __init__(self, path, step):
        rows = []
        if step and path.exists():
            rows = [r for r in csv.DictReader(path.open()) if int(r["step"]) <= step]
        self.file = path.open("w", newline="")
        self.writer = csv.DictWriter(self.file, self.FIELDS)
        self.writer.writeheader()
        self.writer.writerows(rows)

    def add(self, **row):
        self.writer.writerow(row)
        self.file.flush()


class Trainer:
    def __init__(self, a):
        self.a = a
        self.stages = parse_stages(a.stages)
        self.total = self.stages[-1][1]
        torch.manual_seed(a.seed)
        torch.set_num_threads(a.threads)
        self.model = Qwen2(Config(num_hidden_layers=a.layers, intermediate_size=a.mlp)).to(a.device)
        self.optimizer = make_optimizer(self.model, a)
        self.step = self.tokens = 0
        self.seconds = 0.0
        self.metrics = []
        self.checkpoint = a.run / "checkpoint.pt"
        if a.resume and self.checkpoint.exists():
            self.load()
        self.log = Log(a.run / "loss.csv", self.step)
        self.run_step = torch.compile(self.model, dynamic=False) if a.compile else self.model
        self.stopped = False
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "stopped", True))

    def load(self):
        state = torch.load(self.checkpoint, map_location=self.a.device, weights_only=False)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.tokens = state["step"], state["tokens"]
        self.seconds, self.metrics = state["seconds"], state["metrics"]
        print(f"resumed at step {self.step}, {self.tokens / 1e6:.1f}M tokens", flush=True)

    def save(self):
        save(self.checkpoint, {
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "config": self.model.config.to_dict(), "settings": {k: str(v) for k, v in vars(self.a).items()},
            "step": self.step, "tokens": self.tokens, "seconds": self.seconds,
            "metrics": self.metrics})

    def one_step(self, ids, weights):
        rate = learning_rate(self.a, self.step, self.tokens, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(self.a.device, torch.bfloat16):
            loss, shown = loss_of(self.run_step, ids, weights)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        if math.isfinite(norm.item()):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += ids.numel()
        return [x.item() for x in shown], rate

    def evaluate(self, length, samples):
        self.model.eval()
        context = min(1024, max(96, length - (96 if length >= 512 else 40)))
        row = {"step": self.step, "tokens": self.tokens, "length": length,
               **evaluate(self.model, self.a, context, samples)}
        self.model.train()
        self.metrics.append(row)
        (self.a.run / "metrics.json").write_text(json.dumps(self.metrics, indent=1) + "\n")
        print("eval", json.dumps(row), flush=True)

    def report(self, shown, rate, length, speed):
        left = (self.total - self.tokens) / speed
        print(f"step {self.step} {self.tokens / 1e6:.2f}/{self.total / 1e6:.0f}M len {length} "
              f"loss {shown[0]:.3f} answers {shown[1]:.3f} lr {rate:.1e} {speed:.0f} tok/s "
              f"left {left / 60:.0f} min", flush=True)
        self.log.add(step=self.step, tokens=self.tokens, length=length, loss=f"{shown[0]:.4f}",
                     answer_loss=f"{shown[1]:.4f}", lr=f"{rate:.3e}", tokens_per_s=f"{speed:.0f}",
                     seconds=f"{self.seconds:.0f}")

    def run(self):
        started = time.time()
        batches, length, window = None, 0, []
        while self.tokens < self.total and not self.stopped:
            if stage_length(self.stages, self.tokens) != length:
                length = stage_length(self.stages, self.tokens)
                batches = Batches(self.a, length)
            ids, weights = batches.next(self.step)
            t = time.time()
            shown, rate = self.one_step(ids, weights)
            self.seconds += time.time() - t
            window.append((ids.numel(), time.time() - t, *shown))
            if self.step % 20 == 0:
                mean = [sum(w[i] for w in window) / len(window) for i in (2, 3)]
                self.report(mean, rate, length, sum(w[0] for w in window) / sum(w[1] for w in window))
                window = []
            if self.step % self.a.eval_every == 0:
                self.evaluate(length, self.a.eval_samples)
                self.save()
            if time.time() - started > self.a.stop_after:
                break
        self.save()
        if self.tokens >= self.total:
            self.evaluate(length, 4 * self.a.eval_samples)
            self.save()


def main():
    a = arguments()
    a.run.mkdir(parents=True, exist_ok=True)
    (a.run / "settings.json").write_text(json.dumps(vars(a), indent=1, default=str) + "\n")
    Trainer(a).run()


if __name__ == "__main__":
    main()

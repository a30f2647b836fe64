"""Prints the quality of the exported checkpoint on held-out samples, dense, in float32.

    python measure.py --generate build/generate [--samples 500] [--context 1024] [--save]
"""
import argparse
import json
import math
import pathlib

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from data import HELD_OUT_SEED, TASKS, generate, judge, text_loss
from model import Config, Qwen2

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "checkpoints" / "rota-synth"


def load(folder):
    fields = json.loads((folder / "config.json").read_text())
    config = Config(**{k: fields[k] for k in Config.__dataclass_fields__})
    model = Qwen2(config).eval()
    model.load_state_dict({k: v.float() for k, v in load_file(folder / "model.safetensors").items()})
    model.training_precision = False
    return model


def interval(hits, n, z=1.96):
    """Wilson's 95% interval of a proportion."""
    p, d = hits / n, 1 + z * z / n
    middle = (p + z * z / (2 * n)) / d
    half = z / d * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return [round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--generate", required=True, help="the compiled generator")
    p.add_argument("--checkpoint", type=pathlib.Path, default=FOLDER)
    p.add_argument("--samples", type=int, default=500)
    p.add_argument("--context", type=int, default=1024)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seed", type=int, default=HELD_OUT_SEED + 10_000_000)
    p.add_argument("--save", action="store_true", help="into the checkpoint's training.json")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    model = load(a.checkpoint)
    tokenizer = Tokenizer.from_file(str(a.checkpoint / "tokenizer.json"))
    encode = lambda text: tokenizer.encode(text).ids
    result = {"context": a.context, "samples": a.samples, "seed": a.seed, "split": "eval"}
    for task in TASKS:
        made = generate(a.generate, split="eval", task=task, seed=a.seed, count=a.samples,
                        length=a.context)
        for name, keep in (("", True), ("_no_context", False)):
            hits = sum(judge(model, s, encode, "cpu", keep) for s in made)
            result[task + name] = {"score": hits / a.samples, "interval": interval(hits, a.samples),
                                   "chance": made[0]["chance"]}
            print(f"{task + name:20} {100 * hits / a.samples:6.1f}%  95% interval "
                  f"{[round(100 * x, 1) for x in interval(hits, a.samples)]}", flush=True)
    made = generate(a.generate, split="eval", task="text", seed=a.seed,
                    count=min(100, a.samples), length=a.context * 3 // 4)
    loss = text_loss(model, made, encode, "cpu")
    result["text"] = {"loss": round(loss, 4), "perplexity": round(math.exp(loss), 4)}
    print(f"{'text':20} perplexity {math.exp(loss):.3f}", flush=True)
    if a.save:
        path = a.checkpoint / "training.json"
        summary = json.loads(path.read_text())
        summary["final"] = result
        path.write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()

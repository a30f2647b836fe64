"""Writes the Hugging Face checkpoint folder from a run, then checks it against transformers.

    python export.py --run runs/a --out ../checkpoints/rota-synth --generate build/generate
"""
import argparse
import csv
import json
import os
import pathlib
import shutil

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

from data import END, generate
from model import Config, Qwen2


def write_config(config, end, out):
    full = {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
        **config.to_dict(), "hidden_act": "silu", "attention_dropout": 0.0,
        "initializer_range": 0.02, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "use_cache": True, "use_sliding_window": False, "sliding_window": None,
        "max_window_layers": config.num_hidden_layers, "rope_scaling": None,
        "bos_token_id": None, "eos_token_id": end, "pad_token_id": end,
    }
    (out / "config.json").write_text(json.dumps(full, indent=2) + "\n")
    generation = {"do_sample": False, "eos_token_id": end, "pad_token_id": end}
    (out / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")


def golden(binary, tokenizer, out):
    """64 token ids of a held-out sample and the f32 logits that transformers gives for them."""
    from transformers import AutoModelForCausalLM

    sample = generate(binary, split="eval", task="needle", seed=4242, count=1, length=96)[0]
    ids = torch.tensor([tokenizer.encode(sample["context"] + sample["question"]).ids[-64:]])
    model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(ids).logits
    save_file({"input_ids": ids, "logits": logits.contiguous()}, out / "golden.safetensors")
    return ids, logits


def check(state, config, ids, logits):
    ours = Qwen2(config).eval()
    ours.load_state_dict({k: v.float() for k, v in state.items()})
    with torch.no_grad():
        worst = (ours(ids) - logits).abs().max().item()
    print(f"largest difference from transformers: {worst:.2e}; logits' deviation {logits.std():.2f}")
    if worst > 1e-3:
        raise SystemExit("export.py: our logits differ from those of transformers")


def plot(rows, out):
    import matplotlib
    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    matplotlib.rcParams["svg.hashsalt"] = "rota-synth"
    figure, axis = plt.subplots(figsize=(7, 4))
    tokens = [int(r["tokens"]) / 1e6 for r in rows]
    for key, label in (("loss", "all tokens"), ("answer_loss", "answer tokens")):
        axis.plot(tokens, [float(r[key]) for r in rows], label=label, linewidth=1)
    for before, after in zip(rows, rows[1:]):
        if before["length"] != after["length"]:
            axis.axvline(int(after["tokens"]) / 1e6, color="0.7", linewidth=1)
            axis.text(int(after["tokens"]) / 1e6, 4.5, f" {after['length']}", fontsize=8)
    axis.set(xlabel="million tokens seen", ylabel="training loss (nats)", ylim=(0, 5))
    axis.legend()
    figure.tight_layout()
    figure.savefig(out / "loss.svg", metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--generate", required=True)
    a = parser.parse_args()
    torch.set_num_threads(1)
    state = torch.load(a.run / "checkpoint.pt", map_location="cpu", weights_only=False)
    config = Config(**state["config"])
    tokenizer = Tokenizer.from_file(str(a.out / "tokenizer.json"))
    write_config(config, tokenizer.token_to_id(END), a.out)
    weights = {k: v.to(torch.bfloat16).contiguous() for k, v in state["model"].items()}
    save_file(weights, a.out / "model.safetensors", metadata={"format": "pt"})
    check(weights, config, *golden(a.generate, tokenizer, a.out))
    shutil.copy(a.run / "loss.csv", a.out / "loss.csv")
    plot(list(csv.DictReader((a.out / "loss.csv").open())), a.out)
    for name in ("model.safetensors", "golden.safetensors"):
        (a.out / name).chmod(0o644)
    parameters = sum(v.numel() for v in weights.values())
    settings = {k: v for k, v in state["settings"].items() if k not in ("run", "generate", "tokenizer")}
    summary = {"parameters": parameters, "tokens": state["tokens"], "steps": state["step"],
               "seconds": round(state["seconds"]), "settings": settings,
               "held_out_during_training": state["metrics"]}
    path = a.out / "training.json"
    old = json.loads(path.read_text()) if path.exists() else {}
    summary["final"] = old.get("final")
    path.write_text(json.dumps(summary, indent=1) + "\n")
    print(f"{parameters / 1e6:.2f}M parameters, {state['tokens'] / 1e6:.1f}M tokens")


if __name__ == "__main__":
    main()

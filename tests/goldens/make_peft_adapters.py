#!/usr/bin/env python3
"""Make the adapters of tests/goldens/peft and the logits that PEFT computes with them.

Random LoRA adapters of the micro checkpoints, saved by PEFT's save_pretrained: `plain` on all
projections of qwen2, `rslora` on two of mistral's. With --check FOLDER it instead loads an adapter that
somebody else wrote for micro/qwen2 and compares its logits with FOLDER/golden.safetensors.
"""
import argparse
import json
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

HERE = Path(__file__).resolve().parent
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ADAPTERS = {
    "plain": ("qwen2", dict(r=4, lora_alpha=6, target_modules=ALL)),
    "rslora": ("mistral", dict(r=3, lora_alpha=2, target_modules=["q_proj", "down_proj"], use_rslora=True)),
}


def base_of(name):
    return AutoModelForCausalLM.from_pretrained(HERE / "micro" / name, dtype=torch.float32,
                                                attn_implementation="eager").eval()


@torch.no_grad()
def make(name):
    base, settings = ADAPTERS[name]
    model = get_peft_model(base_of(base), LoraConfig(task_type="CAUSAL_LM", **settings)).eval()
    generator = torch.Generator().manual_seed(5)
    for key, p in model.named_parameters():
        if "lora_" in key:
            p.data = 0.3 * torch.randn(p.shape, generator=generator)
    ids = load_file(HERE / "micro" / base / "golden.safetensors")["input_ids"]
    folder = HERE / "peft" / name
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = f"micro/{base}"
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    save_file({"input_ids": ids, "logits": model(ids[None]).logits[0].contiguous()},
              folder / "golden.safetensors")


@torch.no_grad()
def check(folder):
    model = PeftModel.from_pretrained(base_of("qwen2"), folder).eval()
    golden = load_file(Path(folder) / "golden.safetensors")
    worst = (model(golden["input_ids"][None]).logits[0] - golden["logits"]).abs().max().item()
    print(f"{folder}: worst difference of a logit {worst:.2e}")
    assert worst < 1e-4


p = argparse.ArgumentParser(description=__doc__)
p.add_argument("--check")
a = p.parse_args()
if a.check:
    check(a.check)
else:
    for adapter in ADAPTERS:
        make(adapter)

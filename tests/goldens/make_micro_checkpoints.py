#!/usr/bin/env python3
"""Make the micro checkpoints of tests/goldens/micro and their golden logits.

Four random models, one for each architecture that the reference engine reads, saved by transformers'
save_pretrained. The logits come from transformers in float32 with eager attention, from the weights as
they were stored (rounded to the file's element type). Run it from anywhere; it rewrites its own folder.
"""
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM,
                          Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

HERE = Path(__file__).resolve().parent / "micro"
VOCAB, HIDDEN, Q_HEADS, KV_HEADS = 352, 64, 4, 2
PROMPT, NEW = 48, 16
GAIN = dict(q_proj=1.5, k_proj=1.5, down_proj=2.0, lm_head=2.0)  # over 1 / sqrt(inputs)
MIN_STD = 1.0  # of the logits
MIN_MARGIN, MIN_DISTINCT = 0.05, 9  # greedy decoding: the best logit over the second best; different tokens

common = dict(vocab_size=VOCAB, hidden_size=HIDDEN, num_attention_heads=Q_HEADS, num_key_value_heads=KV_HEADS,
              num_hidden_layers=2, hidden_act="silu", attention_dropout=0.0)
# published: config.json is rewritten with the keys of the published checkpoints (rope_theta, rope_scaling,
# torch_dtype at the top level); the others keep the rope_parameters form that transformers 5 writes.
MODELS = {
    "qwen2": dict(cls=Qwen2ForCausalLM, dtype=torch.float32, published=True, config=Qwen2Config(
        **common, intermediate_size=32, max_position_embeddings=512, rms_norm_eps=1e-6, tie_word_embeddings=True,
        use_sliding_window=False, max_window_layers=2,
        rope_parameters=dict(rope_type="default", rope_theta=1000000.0), bos_token_id=344, eos_token_id=346)),
    "qwen3": dict(cls=Qwen3ForCausalLM, dtype=torch.bfloat16, published=False, config=Qwen3Config(
        **common, head_dim=32, intermediate_size=32, max_position_embeddings=512, rms_norm_eps=1e-6,
        tie_word_embeddings=False, attention_bias=False, use_sliding_window=False,
        rope_parameters=dict(rope_type="default", rope_theta=1000000.0), bos_token_id=344, eos_token_id=346)),
    "mistral": dict(cls=MistralForCausalLM, dtype=torch.float16, published=False, config=MistralConfig(
        **common, head_dim=16, intermediate_size=48, max_position_embeddings=512, rms_norm_eps=1e-5,
        tie_word_embeddings=False, sliding_window=20,
        rope_parameters=dict(rope_type="default", rope_theta=10000.0), bos_token_id=1, eos_token_id=2)),
    "llama": dict(cls=LlamaForCausalLM, dtype=torch.bfloat16, published=True, shard="60KB", config=LlamaConfig(
        **{**common, "num_hidden_layers": 3, "hidden_size": 48}, head_dim=16, intermediate_size=48,
        max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=False, attention_bias=False, mlp_bias=False,
        rope_parameters=dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0,
                             high_freq_factor=4.0, original_max_position_embeddings=64),
        bos_token_id=344, eos_token_id=345)),
}


def fill(model, generator):
    """Random weights at which every part matters: attention is peaked, biases and norms are not trivial."""
    for name, p in model.named_parameters():
        r = torch.randn(p.shape, generator=generator)
        if "norm" in name:
            p.data = 1.0 + 0.2 * r
        elif name.endswith("bias"):
            p.data = 0.5 * r
        elif "embed_tokens" in name:
            p.data = 0.25 * r
        else:
            part = name.split(".")[-2]
            p.data = GAIN.get(part, 1.0) * r / p.shape[-1] ** 0.5


def as_published(folder):
    path = folder / "config.json"
    c = json.loads(path.read_text())
    rope = c.pop("rope_parameters")
    c["rope_theta"] = rope.pop("rope_theta")
    c["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    c["torch_dtype"] = c.pop("dtype")
    for key in ("layer_types", "pad_token_id"):
        c.pop(key, None)
    if c["model_type"] == "qwen2":
        c["sliding_window"] = 16  # as published Qwen2 has it: a number, switched off by use_sliding_window
    path.write_text(json.dumps(c, indent=2, sort_keys=True) + "\n")


@torch.no_grad()
def run(folder, input_ids):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    assert model.dtype == torch.float32 and model.config._attn_implementation == "eager"
    logits = model(input_ids[None], use_cache=False).logits[0]
    ids, margin = input_ids, float("inf")
    for _ in range(NEW):  # the whole sequence anew for each token: no cache that could differ
        last = model(ids[None], use_cache=False).logits[0, -1]
        best = last.topk(2)
        margin = min(margin, (best.values[0] - best.values[1]).item())
        ids = torch.cat([ids, best.indices[:1]])
    return logits, ids[len(input_ids):], margin


def make(name, spec):
    folder = HERE / name
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(1, 200):  # the first at which greedy decoding has neither a near tie nor a rut
        g = torch.Generator().manual_seed(seed)
        model = spec["cls"](spec["config"]).float().eval()
        fill(model, g)
        model.tie_weights()
        model = model.to(spec["dtype"])
        model.config.dtype = spec["dtype"]
        for old in folder.glob("model*"):
            old.unlink()
        model.save_pretrained(folder, max_shard_size=spec.get("shard", "5GB"))
        input_ids = torch.randint(3, 344, (PROMPT,), generator=g)
        before = run(folder, input_ids)
        if spec["published"]:
            as_published(folder)
        logits, generated, margin = run(folder, input_ids)
        assert torch.equal(logits, before[0]), "the rewritten config.json means something else"
        std = logits.std().item()
        if std >= MIN_STD and margin >= MIN_MARGIN and len(set(generated.tolist())) >= MIN_DISTINCT:
            break
    else:
        raise SystemExit(f"{name}: no seed will do")
    golden = dict(input_ids=input_ids, logits=logits.contiguous(), generated=generated)
    save_file(golden, folder / "golden.safetensors")
    (folder / "generation_config.json").unlink(missing_ok=True)
    for f in folder.iterdir():
        f.chmod(0o644)
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{name:8} {str(spec['dtype'])[6:]:9} seed {seed:3} logits std {std:.3f} max {logits.abs().max():.2f} "
          f"smallest greedy margin {margin:.3f} {size} bytes {sorted(f.name for f in folder.glob('model*'))}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name, spec in MODELS.items():
        make(name, spec)

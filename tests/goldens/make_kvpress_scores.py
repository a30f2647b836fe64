#!/usr/bin/env python3
"""Make the golden scores of tests/goldens/kvpress with kvpress itself.

For each case a one-layer random model reads a random sequence. kvpress' own context manager hangs its hook on the
attention layer; a recorder around press.score notes what the hook passed in and what came out. Nothing of kvpress is
reimplemented here: the tensors are what its functions returned. README.md says in words what they compute.
"""
from pathlib import Path

import kvpress
import torch
from kvpress.utils import get_prerope_query_states
from safetensors.torch import save_file
from transformers import (DynamicCache, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config,
                          Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

HERE = Path(__file__).resolve().parent / "kvpress"
RATIO = 0.5  # the removed fraction c of the kept sets

LLAMA3 = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64)
# heads: query heads, kv heads, head size
CASES = {
    "llama_g2_n96": dict(cls=LlamaForCausalLM, config=LlamaConfig, n=96, heads=(4, 2, 32), lag=16, rope=None),
    "qwen2_g1_n130": dict(cls=Qwen2ForCausalLM, config=Qwen2Config, n=130, heads=(2, 2, 16), lag=32, rope=None),
    "llama3rope_g4_n61": dict(cls=LlamaForCausalLM, config=LlamaConfig, n=61, heads=(4, 1, 16), lag=20, rope=LLAMA3),
    "qwen3_g2_n40": dict(cls=Qwen3ForCausalLM, config=Qwen3Config, n=40, heads=(4, 2, 16), lag=32, rope=None),
}
EXPECTED_ATTENTION = {
    "default": {},
    "no_cov": dict(use_covariance=False),
    "no_vnorm": dict(use_vnorm=False),
    "no_cov_no_vnorm": dict(use_covariance=False, use_vnorm=False),
    "eps": dict(epsilon=0.01),
    "future_sink": dict(n_future_positions=64, n_sink=7, epsilon=0.02),
}


def build(case, generator):
    q_heads, kv_heads, d = case["heads"]
    hidden = 48
    config = case["config"](
        vocab_size=512, hidden_size=hidden, intermediate_size=32, num_hidden_layers=1, num_attention_heads=q_heads,
        num_key_value_heads=kv_heads, head_dim=d, max_position_embeddings=1024, tie_word_embeddings=True,
        rope_parameters=case["rope"] or dict(rope_type="default", rope_theta=10000.0), pad_token_id=None,
        bos_token_id=0, eos_token_id=0)
    model = case["cls"](config).float().eval()
    for name, p in model.named_parameters():
        r = torch.randn(p.shape, generator=generator)
        if "norm" in name:
            p.data = (1.7 if "q_norm" in name or "k_norm" in name else 1.0) + 0.1 * r
        elif name.endswith("bias"):
            p.data = 0.5 * r
        elif "embed_tokens" in name:  # a common part, so that the mean query is not zero
            p.data = r + torch.randn(p.shape[1:], generator=generator)
        else:
            gain = 2.0 if "q_proj" in name or "k_proj" in name else 1.0
            p.data = gain * r / p.shape[-1] ** 0.5
    model.set_attn_implementation("eager")
    return model


@torch.no_grad()
def hooked(model, ids, press):
    """Runs the model under the press; returns what its score() was given and gave, and the keys it left."""
    seen, real = {}, press.score

    def record(module, hidden_states, keys, values, attentions, kwargs):
        scores = real(module, hidden_states, keys, values, attentions, kwargs)
        seen.update(module=module, hidden=hidden_states, keys=keys.clone(), values=values.clone(), scores=scores,
                    attentions=attentions, kwargs=kwargs)
        return scores

    press.score = record
    cache = DynamicCache()
    with press(model):
        model.model(input_ids=ids[None], past_key_values=cache, cache_position=torch.arange(len(ids)))
    press.score = real
    seen["kept_keys"] = cache.layers[0].keys
    return seen


def kept_set(seen):
    """The ascending positions whose keys the hook left in the cache, per kv head."""
    rows = []
    for keys, left in zip(seen["keys"][0], seen["kept_keys"][0]):
        rows.append((left[:, None] == keys[None]).all(-1).int().argmax(-1).sort().values)
    return torch.stack(rows)


@torch.no_grad()
def make(name, case, seed):
    generator = torch.Generator().manual_seed(seed)
    model = build(case, generator)
    ids = torch.randperm(512, generator=generator)[:case["n"]]  # no token twice: no equal scores
    n, (q_heads, kv_heads, d) = case["n"], case["heads"]
    out = {}

    def put(key, press, params=()):
        seen = hooked(model, ids, press)
        out[f"{key}.scores"] = seen["scores"][0].float().contiguous()
        out[f"{key}.kept"] = kept_set(seen)
        if params:
            out[f"{key}.params"] = torch.tensor([float(p) for p in params])
        return seen

    for variant, options in EXPECTED_ATTENTION.items():
        press = kvpress.ExpectedAttentionPress(compression_ratio=RATIO, **options)
        seen = put(f"expected_attention.{variant}", press, (
            press.n_future_positions, press.n_sink, press.use_covariance, press.use_vnorm, press.epsilon))
        if variant not in ("default", "future_sink"):
            continue
        # the same statistics before and after the mean rotation, both from kvpress' own get_query_statistics
        module, hidden = seen["module"], seen["hidden"]
        mu_rot, cov_rot = press.get_query_statistics(module, hidden)
        press.apply_avg_rope = lambda module, mu, cov, q_len: (mu, cov)
        mu, cov = press.get_query_statistics(module, hidden)
        del press.apply_avg_rope
        eye = torch.eye(d).expand(1, q_heads, d, d).contiguous()
        rotation = press.apply_avg_rope(module, eye, None, n)[0][0, 0].T  # rows of the identity give R transposed
        out[f"expected_attention.{variant}.mu"] = mu[0]
        out[f"expected_attention.{variant}.mu_rotated"] = mu_rot[0]
        out[f"expected_attention.{variant}.mean_rotation"] = rotation
        if variant == "default":
            out[f"expected_attention.{variant}.cov"] = cov[0]
            out[f"expected_attention.{variant}.cov_rotated"] = cov_rot[0]

    put("key_norm", kvpress.KnormPress(compression_ratio=RATIO))
    put("key_diff", kvpress.KeyDiffPress(compression_ratio=RATIO))
    put("tova", kvpress.TOVAPress(compression_ratio=RATIO))
    put("snapkv", kvpress.SnapKVPress(compression_ratio=RATIO, window_size=16, kernel_size=5), (16, 5))
    put("lagkv", kvpress.LagKVPress(compression_ratio=RATIO, n_sink=4, lag_size=case["lag"]), (4, case["lag"]))
    put("lagkv_raw", kvpress.LagKVPress(compression_ratio=RATIO, n_sink=4, lag_size=case["lag"], cross_scoring=True),
        (4, case["lag"]))
    put("streaming_llm", kvpress.StreamingLLMPress(compression_ratio=RATIO, n_sink=4), (4,))
    put("observed_attention", kvpress.ObservedAttentionPress(compression_ratio=RATIO))
    # (kept by the budget, share of the first stage, epsilon)
    for base, press in (("key_norm", kvpress.KnormPress(compression_ratio=RATIO)),
                        ("expected", kvpress.ExpectedAttentionPress(compression_ratio=RATIO, use_vnorm=False))):
        critical = kvpress.CriticalKVPress(press, epsilon=1e-2 if base == "expected" else 1e-4)
        put(f"critical.{base}", critical, (int((1 - RATIO) * n), critical.first_stage_ratio, critical.epsilon))

    rotary = model.model.rotary_emb
    out.update(keys=seen["keys"][0], values=seen["values"][0], o_proj=model.model.layers[0].self_attn.o_proj.weight,
               queries_pre_rope=get_prerope_query_states(seen["module"], seen["hidden"])[0],
               inv_freq=rotary.inv_freq.float(), attention_scaling=torch.tensor([float(rotary.attention_scaling)]),
               rope_theta=torch.tensor([10000.0]),
               # n, head size, query heads, kv heads
               shape=torch.tensor([n, d, q_heads, kv_heads]))
    path = HERE / f"{name}.safetensors"
    save_file({k: v.detach().contiguous().clone() for k, v in out.items()}, path)
    path.chmod(0o644)
    s = out["expected_attention.no_cov_no_vnorm.scores"][:, 4:]
    t = out["expected_attention.no_vnorm.scores"][:, 4:]
    print(f"{name:18} {path.stat().st_size} bytes; softmax over {n - 4} tokens from {s.min():.1e} to {s.max():.3f}, "
          f"with the covariance from {t.min():.1e} to {t.max():.3f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    HERE.mkdir(exist_ok=True)
    for seed, (name, case) in enumerate(CASES.items(), start=11):
        make(name, case, seed)

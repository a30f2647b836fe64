#!/usr/bin/env python3
"""Make tests/goldens/kvpress/budgets.safetensors: the kept sets of AdaKVPress and the layer counts of PyramidKVPress.

AdaKVPress is given the scores by a scorer that returns a stored tensor; its `compress` marks what it prunes, and what
is left is stored. PyramidKVPress.get_layer_budget is asked for each layer. Nothing of kvpress is reimplemented here.
"""
from pathlib import Path
from types import SimpleNamespace

import kvpress
import torch
from kvpress.presses.scorer_press import ScorerPress
from safetensors.torch import save_file

PATH = Path(__file__).resolve().parent / "kvpress" / "budgets.safetensors"

# kv heads, n, removed fraction, alpha, how far apart the heads are
ADAKV = [(2, 96, 0.5, 0.2, 1.0), (4, 61, 0.7, 0.2, 3.0), (1, 40, 0.25, 0.2, 0.0), (8, 130, 0.9, 0.0, 2.0),
         (3, 77, 0.6, 0.5, 50.0), (4, 100, 0.5, 1.0, 3.0), (4, 50, 0.95, 0.3, 10.0), (2, 1500, 0.8, 0.2, 4.0)]
# n, removed fraction, window, beta, layers
PYRAMID = [(1000, 0.75, 64, 20, 8), (1000, 0.5, 64, 20, 32), (4096, 0.9, 8, 5, 28), (200, 0.5, 64, 20, 4),
           (100, 0.875, 4, 2, 5), (1024, 0.25, 16, 10, 12), (37, 0.6, 1, 3, 3), (10, 0.99, 64, 20, 2),
           (512, 0.5, 0, 1, 6), (300, 0.875, 2, 15, 1)]


class Given(ScorerPress):
    """Hands out the scores that it was given."""

    def score(self, module, hidden_states, keys, values, attentions, kwargs):
        return self.given.clone()


def adakv(generator, heads, n, removed, alpha, apart):
    scores = torch.randn(heads, n, generator=generator) + apart * torch.randn(heads, 1, generator=generator)
    given = Given(compression_ratio=removed)
    given.given = scores[None]
    module = SimpleNamespace(config=SimpleNamespace(_attn_implementation="sdpa"))
    keys = torch.zeros(1, heads, n, 2)
    kvpress.AdaKVPress(given, alpha_safeguard=alpha).compress(module, None, keys, keys, None, {})
    kept = torch.ones(heads, n, dtype=torch.bool)
    _, head, token = module.masked_key_indices
    kept[head, token] = False
    return scores, kept


def pyramid(n, removed, window, beta, layers):
    press = kvpress.PyramidKVPress(compression_ratio=removed, window_size=window, beta=beta)
    config = SimpleNamespace(num_hidden_layers=layers)
    return [press.get_layer_budget(SimpleNamespace(config=config, layer_idx=i), n) for i in range(layers)]


def main():
    generator = torch.Generator().manual_seed(23)
    out = {}
    for i, case in enumerate(ADAKV):
        scores, kept = adakv(generator, *case)
        out[f"adakv.{i}.scores"] = scores
        out[f"adakv.{i}.kept"] = kept.nonzero()
        out[f"adakv.{i}.params"] = torch.tensor([round(1000 * (1 - case[2])), round(1000 * case[3])])
        print(f"adakv {case}: kept a head {kept.sum(-1).tolist()}")
    for i, case in enumerate(PYRAMID):
        counts = pyramid(*case)
        out[f"pyramid.{i}.counts"] = torch.tensor(counts)
        out[f"pyramid.{i}.params"] = torch.tensor([case[0], round(1000 * (1 - case[1])), case[2], case[3]])
        print(f"pyramid {case}: {counts}")
    save_file({k: v.contiguous() for k, v in out.items()}, PATH)
    PATH.chmod(0o644)
    print(f"{PATH.stat().st_size} bytes")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()

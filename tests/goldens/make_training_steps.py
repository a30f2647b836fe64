#!/usr/bin/env python3
"""Make tests/goldens/training/steps.safetensors: 20 training steps of an adapted micro/qwen2, in double.

A mirror of examples/lm/adapt in plain PyTorch, with autograd instead of hand-written gradients: routed LoRA on all
projections, a router per kv head with an adaptive span, a low-rank fill, the balance term, clipping, AdamW, warm-up
and cosine, thresholds that follow the routers. Stored: the sequences, the first parameters, the losses of each step,
the last parameters and thresholds.
"""
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from safetensors.torch import load_file
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent
LAYERS, HIDDEN, Q_HEADS, KV_HEADS, D, MLP, VOCAB = 2, 64, 4, 2, 16, 32, 352
RANK, SUBSPACES, ACTIVE, ALPHA = 8, 4, 2, 8.0
WIDTH, FILL_RANK, SINKS, WINDOW = 4, 3, 1, 2
GROUPS = D // WIDTH
PREFIX, LENGTH, BATCH, STEPS, SEED = 12, 18, 2, 20, 7
RHOS = [1.0, 0.5, 0.25]
RATE, ROUTER_RATE, FILL_RATE, WARMUP, CLIP, DECAY = 0.01, 0.5, 0.25, 5, 0.7, 0.01
PREFIX_WEIGHT, CONTINUATION_WEIGHT, BALANCE = 0.5, 2.0, 0.1
THETA, EPS = 1e6, 1e-6
TARGETS = {"self_attn.q_proj": (HIDDEN, Q_HEADS * D), "self_attn.k_proj": (HIDDEN, KV_HEADS * D),
           "self_attn.v_proj": (HIDDEN, KV_HEADS * D), "self_attn.o_proj": (Q_HEADS * D, HIDDEN),
           "mlp.gate_proj": (HIDDEN, MLP), "mlp.up_proj": (HIDDEN, MLP), "mlp.down_proj": (MLP, HIDDEN)}
MASK64 = (1 << 64) - 1


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return z ^ (z >> 31)


def drawn(step, item):
    """The rho of an item: one number of splitmix64."""
    state = mix((SEED * 0x9E3779B97F4A7C15 + step) & MASK64) + item
    return mix((state + 0x9E3779B97F4A7C15) & MASK64) % len(RHOS)


def first_parameters(generator):
    """In the order of the program's layout."""
    shapes = {}
    for l in range(LAYERS):
        shapes[f"layers.{l}.router.weight"] = (KV_HEADS * GROUPS, HIDDEN)
        shapes[f"layers.{l}.router.bias"] = (KV_HEADS * GROUPS,)
        shapes[f"layers.{l}.fill.encode"] = (KV_HEADS, FILL_RANK, D)
        shapes[f"layers.{l}.fill.decode"] = (KV_HEADS, FILL_RANK, D)
        for name, (inside, outside) in TARGETS.items():
            shapes[f"layers.{l}.{name}.down"] = (RANK, inside)
            shapes[f"layers.{l}.{name}.up"] = (RANK, outside)
            shapes[f"layers.{l}.{name}.router"] = (SUBSPACES, inside)
            shapes[f"layers.{l}.{name}.router_bias"] = (SUBSPACES,)
    return {name: (0.1 * torch.randn(shape, generator=generator)).double().requires_grad_()
            for name, shape in shapes.items()}


def rms_norm(x, gain):
    return gain * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS)


def rotate(x):
    """RoPE of [n, heads, D], angles in float as the engine has them."""
    pairs = D // 2
    frequencies = (1.0 / torch.tensor(THETA, dtype=torch.float32) **
                   (torch.arange(pairs, dtype=torch.float32) * 2 / D))
    angle = torch.arange(x.shape[0], dtype=torch.float32)[:, None] * frequencies
    cos, sin = angle.cos().double()[:, None], angle.sin().double()[:, None]
    a, b = x[..., :pairs], x[..., pairs:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Pass:
    """One sequence through the model."""

    def __init__(self, weights, parameters):
        self.w, self.p = weights, parameters
        self.balance, self.logits = [], []

    def project(self, l, name, x):
        full = f"model.layers.{l}.{name}."
        y = F.linear(x, self.w[full + "weight"], self.w.get(full + "bias"))
        own = lambda part: self.p[f"layers.{l}.{name}.{part}"]
        z = F.linear(x, own("router"), own("router_bias"))
        chosen = z.topk(ACTIVE, -1).indices
        gates = torch.zeros_like(z).scatter(-1, chosen, ACTIVE * z.gather(-1, chosen).softmax(-1))
        used = torch.zeros_like(z).scatter(-1, chosen, 1.0).mean(0) / ACTIVE
        self.balance.append(SUBSPACES * (used * z.softmax(-1).mean(0)).sum())
        inner = F.linear(x, own("down")) * gates.repeat_interleave(RANK // SUBSPACES, -1)
        return y + ALPHA * SUBSPACES / (RANK * ACTIVE) * inner @ own("up")

    def stored(self, l, h, v, rho, threshold):
        """What later tokens read of the prefix's values [P, kv_heads * D]."""
        z = F.linear(h, self.p[f"layers.{l}.router.weight"], self.p[f"layers.{l}.router.bias"])
        self.logits.append(z.detach()[SINKS:PREFIX - WINDOW])
        mask = torch.ones_like(z)
        if rho < 1:
            soft = torch.sigmoid(z - threshold)
            routed = (z >= threshold).double() + soft - soft.detach()
            mask = torch.cat([mask[:SINKS], routed[SINKS:PREFIX - WINDOW], mask[PREFIX - WINDOW:]])
        mask = mask.repeat_interleave(WIDTH, -1).view(PREFIX, KV_HEADS, D)
        kept = mask * v.view(PREFIX, KV_HEADS, D)
        code = torch.einsum("nhd,hrd->nhr", kept, self.p[f"layers.{l}.fill.encode"])
        filler = torch.einsum("nhr,hrd->nhd", code, self.p[f"layers.{l}.fill.decode"])
        return kept + (1 - mask) * filler

    def attention(self, l, h, rho, threshold):
        n = len(h)
        q = rotate(self.project(l, "self_attn.q_proj", h).view(n, Q_HEADS, D))
        k = rotate(self.project(l, "self_attn.k_proj", h).view(n, KV_HEADS, D))
        v = self.project(l, "self_attn.v_proj", h)
        stored = self.stored(l, h[:PREFIX], v[:PREFIX], rho, threshold)
        v = v.view(n, KV_HEADS, D)
        later = torch.cat([stored, v[PREFIX:]])
        unseen = torch.full((n, n), -math.inf, dtype=torch.double).triu(1)
        out = []
        for head in range(Q_HEADS):
            kv = head // (Q_HEADS // KV_HEADS)
            p = (q[:, head] @ k[:, kv].T / math.sqrt(D) + unseen).softmax(-1)
            out.append(torch.cat([p[:PREFIX] @ v[:, kv], p[PREFIX:] @ later[:, kv]]))
        return self.project(l, "self_attn.o_proj", torch.cat(out, -1))

    def losses(self, ids, rho, threshold):
        x = self.w["model.embed_tokens.weight"][ids]
        for l in range(LAYERS):
            prefix = f"model.layers.{l}."
            x = x + self.attention(l, rms_norm(x, self.w[prefix + "input_layernorm.weight"]), rho, threshold)
            h = rms_norm(x, self.w[prefix + "post_attention_layernorm.weight"])
            gate = F.silu(self.project(l, "mlp.gate_proj", h)) * self.project(l, "mlp.up_proj", h)
            x = x + self.project(l, "mlp.down_proj", gate)
        logits = rms_norm(x, self.w["model.norm.weight"])[:-1] @ self.w["model.embed_tokens.weight"].T
        each = F.cross_entropy(logits, ids[1:], reduction="none")
        return each[:PREFIX - 1].sum(), each[PREFIX - 1:].sum(), sum(self.balance) / len(self.balance)


def thresholds_of(passes):
    """The least logit kept when a share rho of all of them is, for each rho; in float, as the program has them."""
    all_ = np.sort(np.concatenate([z.numpy().astype(np.float32).ravel() for p in passes for z in p.logits]))[::-1]
    return np.array([float(all_[max(round(rho * len(all_)), 1) - 1]) for rho in RHOS])


def rate_of(name, step):
    height = step / WARMUP if step <= WARMUP else 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP)))
    part = ROUTER_RATE if "router" in name else FILL_RATE if "fill" in name else 1
    return RATE * part * height


def adamw(parameters, moments, step):
    norm = math.sqrt(sum(p.grad.pow(2).sum().item() for p in parameters.values()))
    for name, p in parameters.items():
        g = p.grad * (CLIP / norm if norm > CLIP else 1)
        m, v = moments.setdefault(name, (torch.zeros_like(p), torch.zeros_like(p)))
        m.mul_(0.9).add_(g, alpha=0.1)
        v.mul_(0.95).addcmul_(g, g, value=0.05)
        update = m / (1 - 0.9**step) / ((v / (1 - 0.95**step)).sqrt() + 1e-8)
        with torch.no_grad():
            p -= rate_of(name, step) * (update + DECAY * p)


def main():
    generator = torch.Generator().manual_seed(3)
    weights = {k: v.double() for k, v in load_file(HERE / "micro/qwen2/model.safetensors").items()}
    parameters = first_parameters(generator)
    first = np.concatenate([p.detach().numpy().astype(np.float32).ravel() for p in parameters.values()])
    ids = torch.randint(VOCAB, (STEPS * BATCH, LENGTH), generator=generator)
    moments, thresholds, course = {}, None, []
    for step in range(STEPS):
        items = [(ids[step * BATCH + i], drawn(step, i)) for i in range(BATCH)]
        if thresholds is None:  # a prefix's logits do not depend on what later tokens read
            passes = [Pass(weights, parameters) for _ in items]
            for p, (row, _) in zip(passes, items):
                p.losses(row, 0.5, 0.0)
            thresholds = thresholds_of(passes)
        passes, sums, total = [Pass(weights, parameters) for _ in items], np.zeros(3), 0
        for p, (row, rho) in zip(passes, items):
            inside, after, balance = p.losses(row, RHOS[rho], thresholds[rho])
            unit = 1 / (BATCH * (LENGTH - 1))
            total = total + unit * (PREFIX_WEIGHT * inside + CONTINUATION_WEIGHT * after + BALANCE * (LENGTH - 1) * balance)
            sums += [inside.item() / (PREFIX - 1) / BATCH, after.item() / (LENGTH - PREFIX) / BATCH, balance.item() / BATCH]
        for p in parameters.values():
            p.grad = torch.zeros_like(p)
        total.backward()
        adamw(parameters, moments, step + 1)
        thresholds = thresholds + 0.2 * (thresholds_of(passes) - thresholds)
        course.append(sums)
        print(step + 1, *sums)
    last = np.concatenate([p.detach().numpy().ravel() for p in parameters.values()])
    (HERE / "training").mkdir(exist_ok=True)
    save_file({"ids": ids.numpy(), "first": first, "course": np.array(course), "last": last,
               "thresholds": thresholds}, HERE / "training" / "steps.safetensors")


main()

"""A Qwen2 decoder in plain PyTorch, fast enough to train on two CPU cores.

Module names give the state dict of transformers' Qwen2ForCausalLM, so exporting is saving.
"""
from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn import functional as F

import start


@dataclass
class Config:
    vocab_size: int = 1600
    hidden_size: int = 256
    intermediate_size: int = 704
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 64
    max_position_embeddings: int = 2048
    rope_theta: float = 1e6
    rms_norm_eps: float = 1e-6

    def to_dict(self):
        return asdict(self)


class RMSNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        y = x.float()
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * y.to(x.dtype)


def rope_tables(config, length, device):
    half = torch.arange(0, config.head_dim, 2, device=device, dtype=torch.float32)
    inverse = config.rope_theta ** (-half / config.head_dim)
    angles = torch.arange(length, device=device, dtype=torch.float32)[:, None] * inverse[None]
    sine = angles.sin()
    return torch.cat([angles.cos()] * 2, -1), torch.cat([-sine, sine], -1)


def rotate(x, cos, sin):
    """Rotary embedding; the sine table carries the sign, so a roll does the rest."""
    return x * cos.to(x.dtype) + x.roll(x.shape[-1] // 2, -1) * sin.to(x.dtype)


def causal_mask(size, device):
    return torch.full((size, size), float("-inf"), device=device).triu(1)


def blocked_attention(q, k, v, block):
    """Causal attention in blocks of queries: with bf16 on a CPU two to four times as fast,
    forward and backward, as PyTorch's own, and the keys are not repeated per query head."""
    kv_heads, length = k.shape[1], q.shape[2]
    group, scale, mask = q.shape[1] // kv_heads, q.shape[-1] ** -0.5, causal_mask(block, q.device)
    out = []
    for first, part in zip(range(0, length, block), (q * scale).unflatten(1, (kv_heads, group)).split(block, 3)):
        n = part.shape[3]
        seen = first + n
        scores = part.flatten(2, 3) @ k[:, :, :seen].transpose(-1, -2)
        scores = scores.unflatten(2, (group, n))
        scores[..., first:] += mask[:n, :n].to(scores.dtype)
        mixed = scores.flatten(2, 3).softmax(-1).to(v.dtype) @ v[:, :, :seen]
        out.append(mixed.unflatten(2, (group, n)))
    return torch.cat(out, 3).flatten(1, 2)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.q_proj = nn.Linear(c.hidden_size, c.num_attention_heads * c.head_dim, bias=True)
        self.k_proj = nn.Linear(c.hidden_size, c.num_key_value_heads * c.head_dim, bias=True)
        self.v_proj = nn.Linear(c.hidden_size, c.num_key_value_heads * c.head_dim, bias=True)
        self.o_proj = nn.Linear(c.num_attention_heads * c.head_dim, c.hidden_size, bias=False)

    def forward(self, x, cos, sin):
        c, (b, n, _) = self.c, x.shape
        q = self.q_proj(x).view(b, n, c.num_attention_heads, c.head_dim).transpose(1, 2)
        k = self.k_proj(x).view(b, n, c.num_key_value_heads, c.head_dim).transpose(1, 2)
        v = self.v_proj(x).view(b, n, c.num_key_value_heads, c.head_dim).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if self.training and x.device.type == "cpu":
            out = blocked_attention(q, k, v, 128 if n <= 512 else 256)
        else:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.o_proj(out.transpose(1, 2).reshape(b, n, -1))


class MLP(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.up_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.down_proj = nn.Linear(c.intermediate_size, c.hidden_size, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.self_attn = Attention(c)
        self.mlp = MLP(c)
        self.input_layernorm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(c.hidden_size, c.rms_norm_eps)

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c.vocab_size, c.hidden_size)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.num_hidden_layers))
        self.norm = RMSNorm(c.hidden_size, c.rms_norm_eps)


class Qwen2(nn.Module):
    """Embeddings are tied: the output projection is the embedding matrix."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.training_precision = True  # autocast to bf16; measure.py turns it off
        self.model = Decoder(config)
        self.apply(self.initialise)
        scale = (2 * config.num_hidden_layers) ** -0.5  # residual branches start small
        for layer in self.model.layers:
            layer.self_attn.o_proj.weight.data.mul_(scale)
            layer.mlp.down_proj.weight.data.mul_(scale)
        self.model.norm.weight.data.fill_(0.1)  # large tied embeddings, small first logits
        start.recall_circuit(self.model)

    @staticmethod
    def initialise(module):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.5)

    def forward(self, ids, wanted=None):
        """Logits of all positions, or of the `wanted` ones (a mask) in one flat list."""
        x = self.model.embed_tokens(ids)
        cos, sin = rope_tables(self.config, ids.shape[1], ids.device)
        for layer in self.model.layers:
            x = layer(x, cos, sin)
        x = x if wanted is None else x[wanted]
        return F.linear(self.model.norm(x), self.model.embed_tokens.weight)

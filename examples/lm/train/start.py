"""Where training starts: heads that can already recall.

A transformer recalls "amber fox guards -> kettle" with two layers: heads that read the tokens just
before a place, and above them heads that look for a place whose preceding tokens are mine, and copy
what stands there. Found by chance, this circuit takes most of a short training. So the first layer
starts with its heads looking 1, 2, 3 and 4 tokens back, the second with queries and keys that
compare what these heads read, and values that carry a token over. Nothing is frozen: these are
starting values of ordinary weights, and training decides what becomes of them.
"""
import torch

MATCH = 16  # dimensions of a compared token: two of them fill the slow half of a rotary head


@torch.no_grad()
def recall_circuit(decoder):
    first, second = decoder.layers[0].self_attn, decoder.layers[1].self_attn
    look_back(first)
    codes = carry_tokens(first)
    compare(second, codes, first)
    copy(second)


def look_back(attention, strength=5.5, frequencies=14):
    """The biases of q and k make head h read h + 1 places back: rotated to places m and n, a bias
    of `strength` at each fast frequency f scores the sum of cos(f * (m - n - offset))."""
    c = attention.c
    half = c.head_dim // 2
    speed = c.rope_theta ** (-torch.arange(half, dtype=torch.float32) / half)
    used = (torch.arange(half) < frequencies) * strength
    attention.k_proj.bias.copy_(torch.cat([used, 0 * used]).repeat(c.num_key_value_heads))
    for head in range(c.num_attention_heads):
        turn = -(head + 1) * speed
        query = torch.cat([used * turn.cos(), used * turn.sin()])
        rows(attention.q_proj.bias, head, c).copy_(query)
    attention.q_proj.weight.mul_(0.3)
    attention.k_proj.weight.mul_(0.3)


def rows(tensor, head, c):
    return tensor[head * c.head_dim:(head + 1) * c.head_dim]


def carry_tokens(attention):
    """All heads read the same random code of a token, and each writes it to its own directions."""
    c = attention.c
    code = torch.randn(c.head_dim, c.hidden_size) * c.hidden_size**-0.5
    for head in range(c.num_key_value_heads):
        rows(attention.v_proj.weight, head, c).copy_(code)
    out = torch.linalg.qr(torch.randn(c.hidden_size, c.hidden_size))[0]
    attention.o_proj.weight.copy_(out * 0.5)  # as large as an embedding
    return code[:MATCH]


def compare(attention, code, first):
    """A query's (this token, 1 back) meet keys' (1 back, 2 back); other heads take one further."""
    c = attention.c

    def written(offset):  # reads what the first layer's head wrote
        head = first.o_proj.weight[:, (offset - 1) * c.head_dim:offset * c.head_dim]
        return head.T[:MATCH]

    def both(near, far):  # in the slow dimensions, that rotation leaves alone
        quarter = c.head_dim // 4
        weight = torch.zeros(c.head_dim, c.hidden_size)
        weight[quarter:2 * quarter], weight[3 * quarter:] = near, far
        return weight * strength

    strength = 7.0
    queries = [both(code, written(1)), both(code, written(1)),
               both(written(1), written(2)), both(written(1), written(2))]
    keys = [both(written(1), written(2)), both(written(2), written(3))]
    for head, weight in enumerate(queries):
        rows(attention.q_proj.weight, head, c).add_(weight)
    for head, weight in enumerate(keys):
        rows(attention.k_proj.weight, head, c).add_(weight)


def copy(attention, strength=2.0):
    """What a head writes is what it read: o is the transpose of v."""
    c = attention.c
    group = c.num_attention_heads // c.num_key_value_heads
    for head in range(c.num_attention_heads):
        read = rows(attention.v_proj.weight, head // group, c)
        attention.o_proj.weight[:, head * c.head_dim:(head + 1) * c.head_dim].copy_(read.T * strength)

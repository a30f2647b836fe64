#!/usr/bin/env python3
"""Reload every golden: shapes, finite numbers, and the recipes of README.md redone in double from the stored tensors.

Needs numpy, safetensors and tokenizers only.
"""
import json
import math
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
TOLERANCE = 1e-4  # of the largest score


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def rotate(x, angle, scale):
    """RoPE in its half-split form: channel i turns with channel i + d/2."""
    a, b = np.split(x, 2, -1)
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def mean_rotation(g, n, future):
    angle = np.outer(np.arange(n, n + future), g["inv_freq"])
    c, s = (np.diag(f(angle).mean(0) * g["attention_scaling"][0]) for f in (np.cos, np.sin))
    return np.block([[c, -s], [s, c]])


def expected_attention(g, future, sink, use_cov, use_vnorm, epsilon):
    n, d, q_heads, kv_heads = g["shape"]
    future, sink = int(future), int(sink)
    q, k, v = g["queries_pre_rope"][:, sink:], g["keys"][:, sink:], g["values"][:, sink:]
    r = mean_rotation(g, n, future)
    s = np.zeros((q_heads, n - sink))
    for h in range(q_heads):
        kh, mu = k[h // (q_heads // kv_heads)], q[h].mean(0)
        cov = (q[h] - mu).T @ (q[h] - mu) / (n - sink)
        s[h] = kh @ (r @ mu) / math.sqrt(d)
        if use_cov:
            s[h] += np.einsum("ni,ij,nj->n", kh, r @ cov @ r.T, kh) / (2 * d)
    s = softmax(s).reshape(kv_heads, -1, n - sink).mean(1)
    if use_vnorm:
        s = (s + epsilon) * np.linalg.norm(v, axis=-1)
    return np.pad(s, ((0, 0), (sink, 0)), constant_values=s.max() + 1)


def window_attention(g, w):
    """Rows of the last w queries, by query head."""
    n, d, q_heads, kv_heads = g["shape"]
    position = np.arange(n - w, n)
    q = rotate(g["queries_pre_rope"][:, -w:], np.outer(position, g["inv_freq"]), g["attention_scaling"][0])
    s = q @ np.repeat(g["keys"], q_heads // kv_heads, 0).transpose(0, 2, 1) / math.sqrt(d)
    return softmax(np.where(np.arange(n) <= position[:, None], s, -np.inf))


def tova(g):
    s = window_attention(g, 1)[:, 0, :-1].mean(0)
    return np.tile(np.append(s, s.max() + 1), (g["shape"][3], 1))


def snapkv(g, w, kernel):
    n, _, _, kv_heads = g["shape"]
    w, kernel = int(w), int(kernel)
    a = np.pad(window_attention(g, w)[:, :, : n - w].mean(1), ((0, 0), (kernel // 2, kernel // 2)))
    a = np.lib.stride_tricks.sliding_window_view(a, kernel, -1).mean(-1).reshape(kv_heads, -1, n - w).mean(1)
    return np.pad(a, ((0, 0), (0, w)), constant_values=a.max() + 1)


def lagkv(g, sink, lag, raw):
    n, _, _, kv_heads = g["shape"]
    sink, lag = int(sink), int(lag)
    if n < sink + 2 * lag:
        late = np.arange(n - sink) / (n - sink)
        return np.tile(np.concatenate([np.ones(sink), late]), (kv_heads, 1))
    parts = (n - sink) // lag

    def one(x):
        x = x[:, sink : sink + parts * lag].reshape(kv_heads, parts, lag, -1)
        low, high = x[:, 1:].min(2, keepdims=True), x[:, 1:].max(2, keepdims=True)
        return softmax(((x[:, :-1] - low) / (high - low)).std(-1, ddof=1))

    s = (one(g["keys"]) + one(g["values"])) / 2
    if not raw:
        s = s.argsort(-1).argsort(-1) / lag
    s = s.reshape(kv_heads, -1)
    one_rows = np.ones((kv_heads, sink)), np.ones((kv_heads, n - sink - s.shape[1]))
    return np.concatenate([one_rows[0], s, one_rows[1]], -1)


def key_diff(g):
    unit = g["keys"] / np.linalg.norm(g["keys"], axis=-1, keepdims=True)
    anchor = unit.mean(1, keepdims=True)
    return -(unit * anchor).sum(-1) / np.linalg.norm(anchor, axis=-1)


def streaming_llm(g, sink):
    n, sink = int(g["shape"][0]), int(sink)
    position = np.arange(n)
    dropped = n - int(n * 0.5)
    return np.tile(((position < sink) | (position >= sink + dropped)).astype(float), (g["shape"][3], 1))


def rotated(g):
    """Queries after RoPE at their own positions."""
    q, f = g["queries_pre_rope"], g["inv_freq"]
    angle = np.arange(q.shape[1])[:, None] * f[None]
    half = f.shape[0]
    a, b = q[..., :half], q[..., half:]
    scale = g["attention_scaling"][0]
    return scale * np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)


def observed_attention(g):
    n, d, q_heads, kv_heads = g["shape"]
    keys = np.repeat(g["keys"], q_heads // kv_heads, 0)
    z = rotated(g) @ keys.transpose(0, 2, 1) / np.sqrt(d)
    z[:, np.triu(np.ones((n, n), bool), 1)] = -np.inf
    seen = softmax(z).sum(1) / np.arange(n, 0, -1)
    return seen.reshape(kv_heads, -1, n).mean(1)


def critical(g, base, keep, share, epsilon):
    n, d, q_heads, kv_heads = g["shape"]
    weights = g["o_proj"].reshape(-1, q_heads, d)
    values = np.repeat(g["values"], q_heads // kv_heads, 0)
    norms = np.abs(np.einsum("rhd,hnd->hnr", weights, values)).sum(-1).reshape(kv_heads, -1, n).mean(1)
    s = (base + epsilon) * norms
    best = np.argsort(-base, -1)[:, : max(1, int(keep * share))]
    np.put_along_axis(s, best, np.finfo(np.float32).max, -1)
    return s


def check_scores(path):
    g = load_file(path)
    stored = dict(g)
    assert all(np.isfinite(t).all() for t in g.values()), path
    g = {k: t.astype(np.float64) if t.dtype == np.float32 else t for k, t in g.items()}
    n, d, q_heads, kv_heads = g["shape"]
    assert g["keys"].shape == g["values"].shape == (kv_heads, n, d)
    assert g["queries_pre_rope"].shape == (q_heads, n, d) and g["inv_freq"].shape == (d // 2,)
    worst = 0.0
    for key in [k[:-7] for k in stored if k.endswith(".scores")]:
        p = stored.get(key + ".params", np.zeros(0)).astype(np.float64)
        name = key.split(".")[0]
        mine = {"expected_attention": lambda: expected_attention(g, *p), "key_diff": lambda: key_diff(g),
                "key_norm": lambda: -np.linalg.norm(g["keys"], axis=-1), "tova": lambda: tova(g),
                "snapkv": lambda: snapkv(g, *p), "lagkv": lambda: lagkv(g, *p, False),
                "observed_attention": lambda: observed_attention(g),
                "critical": lambda: critical(g, -np.linalg.norm(g["keys"], axis=-1) if key == "critical.key_norm"
                                             else expected_attention(g, 512, 4, True, False, 0), *p),
                "lagkv_raw": lambda: lagkv(g, *p, True), "streaming_llm": lambda: streaming_llm(g, *p)}[name]()
        theirs = g[key + ".scores"]
        assert theirs.shape == mine.shape == (kv_heads, n), key
        # the padding would hide the rest: measure against the largest score that is not padding
        sink = int(p[1]) if name == "expected_attention" else 0
        real = theirs[:, sink:] if sink else theirs[:, : n - int(p[0])] if name == "snapkv" else (
            theirs[:, :-1] if name == "tova" else theirs)
        if name == "critical":  # the first stage's are all the largest float
            first = theirs == np.finfo(np.float32).max
            assert (first == (mine == np.finfo(np.float32).max)).all(), key
            mine, theirs, real = (np.where(first, 0, x) for x in (mine, theirs, theirs))
        error = np.abs(mine - theirs).max() / np.abs(real).max()
        worst = max(worst, error)
        assert error <= TOLERANCE, f"{path.name} {key}: {error}"
        kept = g[key + ".kept"]
        assert kept.shape == (kv_heads, max(1, int(n * 0.5))) and (np.diff(kept) > 0).all(), key
        for row, s in zip(kept, g[key + ".scores"]):  # a top-k set: no score outside above one inside
            assert s[row].min() >= np.delete(s, row).max(), key
        if key + ".mu" in g:
            q, r = g["queries_pre_rope"][:, int(p[1]) :], mean_rotation(g, n, int(p[0]))
            assert np.allclose(g[key + ".mu"], q.mean(1), atol=1e-5)
            assert np.allclose(g[key + ".mean_rotation"], r, atol=1e-4)
            assert np.allclose(g[key + ".mu_rotated"], q.mean(1) @ r.T, atol=1e-4)
        if key + ".cov" in g:
            c = q - q.mean(1, keepdims=True)
            cov = c.transpose(0, 2, 1) @ c / q.shape[1]
            assert np.allclose(g[key + ".cov"], cov, atol=1e-4 * cov.max())
            assert np.allclose(g[key + ".cov_rotated"], r @ cov @ r.T, atol=1e-4 * cov.max())
    return worst


def ada_kept(scores, kept, alpha):
    """Each head keeps its best alpha share of the mean, the rest goes to the best of all heads."""
    heads, n = scores.shape
    mean = kept // heads
    safe = int(mean * alpha) if alpha == 0 or mean == 0 else max(1, int(mean * alpha))
    out = np.zeros((heads, n), bool)
    for h in range(heads):
        out[h, np.argsort(-scores[h], kind="stable")[:safe]] = True
    left = np.where(out, -np.inf, scores).ravel()
    out.ravel()[np.argsort(-left, kind="stable")[: kept - heads * safe]] = True
    return out


def pyramid_counts(n, mean, window, beta, layers):
    least, most = mean / beta, 2 * mean - mean / beta
    if most >= n - window:
        least, most = 2 * mean - (n - window), n - window
    if not most >= least >= window:
        return [max(1, round(mean))] * layers
    return [round(most - i * (most - least) / max(1, layers - 1)) for i in range(layers)]


def check_budgets(path):
    g = load_file(path)
    cases = sorted(k[: -len(".params")] for k in g if k.endswith(".params"))
    for case in cases:
        p = [int(x) for x in g[case + ".params"]]
        if case.startswith("adakv"):
            scores, positions = g[case + ".scores"], g[case + ".kept"]
            heads, n = scores.shape
            kept = np.zeros((heads, n), bool)
            kept[positions[:, 0], positions[:, 1]] = True
            assert abs(kept.sum() - heads * n * p[0] / 1000) <= heads, case
            assert len(np.unique(scores)) == scores.size, case  # no ties to break
            assert (kept == ada_kept(scores, int(kept.sum()), p[1] / 1000)).all(), case
        else:
            counts = g[case + ".counts"]
            assert counts.tolist() == pyramid_counts(p[0], p[0] * p[1] / 1000, p[2], p[3], len(counts)), case
    return len(cases)


def check_micro(folder):
    config = json.loads((folder / "config.json").read_text())
    g = load_file(folder / "golden.safetensors")
    assert g["input_ids"].dtype == g["generated"].dtype == np.int64 and g["logits"].dtype == np.float32
    assert g["logits"].shape == (len(g["input_ids"]), config["vocab_size"]) and g["generated"].shape == (16,)
    assert np.isfinite(g["logits"]).all() and g["logits"].std() >= 1
    assert g["generated"][0] == g["logits"][-1].argmax()
    index = folder / "model.safetensors.index.json"
    if index.exists():
        for shard in set(json.loads(index.read_text())["weight_map"].values()):
            assert (folder / shard).exists(), shard
    else:
        assert (folder / "model.safetensors").exists()
    counts = []
    for golden in sorted(folder.glob("tokenizer*_golden.json")):
        tokenizer = Tokenizer.from_file(str(folder / golden.name.replace("_golden", "")))
        rows = json.loads(golden.read_text())
        for row in rows:
            assert tokenizer.encode(row["text"]).ids == row["ids"], row
            assert all(0 <= i < config["vocab_size"] for i in row["ids"]), row
            assert tokenizer.decode(row["ids"]) == row["decoded"], row
            assert tokenizer.decode(row["ids"], skip_special_tokens=False) == row["decoded_with_special"], row
        counts.append(f"{golden.name} {len(rows)}")
    return f"logits std {g['logits'].std():.3f} {' '.join(counts)}"


if __name__ == "__main__":
    for folder in sorted((HERE / "micro").iterdir()):
        print(f"{folder.name:20} {check_micro(folder)}")
    for path in sorted((HERE / "kvpress").glob("*_n*.safetensors")):
        print(f"{path.stem:20} largest difference of any score {check_scores(path):.1e} of the largest")
    print(f"budgets              {check_budgets(HERE / 'kvpress' / 'budgets.safetensors')} cases as the formulas")

#!/usr/bin/env python3
"""PyTorch's attention on the shapes of bench/attend.cpp: lines peer/torch_sdpa/... in the same form.

  torch_sdpa.py --out FILE.json [--filter REGEX] [--dry-run]

Each line tries several ways to ask scaled_dot_product_attention for the same thing (`ways` below), checks
each against double precision on a small instance, and times the fastest. Keys and values are bf16, f32 or
f16; so are the queries, since the function takes one type only. As in bench/fixture.hpp each call works on
another copy of them. --dry-run writes the lines without figures; it needs no PyTorch.
"""

import argparse
import collections
import json
import os
import re
import statistics
import sys
import time

KV_HEADS, TOKENS, D = 8, 16384, 128
TYPES = {"bf16": (2, 2e-2), "f16": (2, 4e-3), "f32": (4, 1e-5)}  # bytes, error that is rounding alone
PROBE_BYTES = 256 << 20
Line = collections.namedtuple("Line", "family codec group queries threads")


def grid():
    for codec in TYPES:
        for group in (1, 4, 8):
            for queries in (1, 4, 16):
                for threads in (1, 2):
                    yield Line("decode", codec, group, queries, threads)
    for threads in (1, 2):
        for queries in (128, 512):
            for codec in ("bf16", "f32"):
                yield Line("prefix", codec, 4, queries, threads)


def name_of(line):
    return f"peer/torch_sdpa/{line.family}/dense/{line.codec}/g{line.group}/q{line.queries}/threads:{line.threads}"


def store_bytes(line):
    return 2 * KV_HEADS * TOKENS * D * TYPES[line.codec][0]


def reuse_distance():
    """Bytes between two uses of the same data: 2 GB, and four times the caches."""
    try:
        with open("/sys/devices/system/cpu/cpu0/cache/index3/size", encoding="ascii") as file:
            cache = int(file.read().strip().rstrip("K")) << 10
    except (OSError, ValueError):
        cache = 0
    return max(2 << 30, 4 * cache)


def copies_of(line):
    return reuse_distance() // store_bytes(line) + 1


def ways(line):
    """How one may ask: `gqa` names more query heads than kv heads; `folded` makes the query heads of a kv
    head more query tokens, so that K and V are read once; `math` is the way over two matrix products, which
    for many queries would write matrices of scores that no memory holds."""
    asked = ["gqa", "folded"]
    return asked + [f"{way} math" for way in asked if line.queries <= 16]


def seconds_of(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class Torch:
    """Everything that needs PyTorch."""

    def __init__(self):
        os.environ["THP_MEM_ALLOC_ENABLE"] = "1"  # huge pages, as our own benchmark asks for
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel
        self.torch = torch
        self.math = lambda: sdpa_kernel(SDPBackend.MATH)
        self.types = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}
        torch.manual_seed(1)
        self.buffer = torch.ones(reuse_distance() // 4, dtype=torch.float32)
        self.at = 0

    def random(self, codec, *shape):
        return self.torch.empty(*shape, dtype=self.types[codec]).uniform_(-1, 1)

    def mask(self, line, tokens):
        """Query i of n sees all but the last n - 1 - i tokens; added to the scores, which spares a conversion
        at each call. None where all is seen."""
        if line.queries == 1:
            return None
        last = tokens - line.queries + self.torch.arange(line.queries)
        hidden = self.torch.arange(tokens)[None, :] > last[:, None]
        return self.torch.zeros(line.queries, tokens, dtype=self.types[line.codec]).masked_fill(hidden, float("-inf"))

    def asker(self, way, line, q, mask):
        """A function of K and V [1, kv heads, tokens, d] for queries q [1, heads, queries, d]."""
        sdpa, group = self.torch.nn.functional.scaled_dot_product_attention, line.group
        if way.startswith("folded"):
            kv_heads = q.shape[1] // group
            rows = q.reshape(1, kv_heads, group * line.queries, D)
            masks = None if mask is None else mask.repeat(group, 1)
            ask = lambda k, v: sdpa(rows, k, v, attn_mask=masks).reshape(q.shape)
        else:
            ask = lambda k, v: sdpa(q, k, v, attn_mask=mask, enable_gqa=True)
        if not way.endswith("math"):
            return ask

        def with_math(k, v):
            with self.math():
                return ask(k, v)
        return with_math

    def error_of(self, way, line):
        """Largest relative error of an output row on a small instance."""
        kv_heads, tokens = 2, 700
        q = self.random(line.codec, 1, kv_heads * line.group, line.queries, D)
        k, v = (self.random(line.codec, 1, kv_heads, tokens, D) for _ in range(2))
        mask = self.mask(line, tokens)
        wide_k, wide_v = (x.double().repeat_interleave(line.group, dim=1) for x in (k, v))
        scores = q.double() @ wide_k.transpose(-1, -2) / D**0.5
        want = (scores if mask is None else scores + mask.double()).softmax(-1) @ wide_v
        got = self.asker(way, line, q, mask)(k, v).double()
        return ((got - want).abs().amax(-1) / want.abs().amax(-1)).max().item()

    def read_rate(self):
        """Bytes a second of a dot product, the quickest reader of PyTorch, over a part of a buffer that is as
        large as what a line turns round in."""
        part = self.buffer[self.at:self.at + PROBE_BYTES // 4]
        self.at = (self.at + part.numel()) % self.buffer.numel()
        half = part.numel() // 2
        return 8 * half / seconds_of(lambda: self.torch.dot(part[:half], part[half:2 * half]))

    def measure(self, line):
        """The way that was fastest, seconds of a few calls of each, counters of the fastest."""
        self.torch.set_num_threads(line.threads)
        mask = self.mask(line, TOKENS)
        q = self.random(line.codec, 1, KV_HEADS * line.group, line.queries, D)
        askers = {way: self.asker(way, line, q, mask) for way in ways(line)
                  if self.error_of(way, line) <= TYPES[line.codec][1]}
        if not askers:
            raise RuntimeError("every way differs from the reference")
        first = [self.random(line.codec, 1, KV_HEADS, TOKENS, D) for _ in range(2)]
        copies = [first] + [[x.clone() for x in first] for _ in range(copies_of(line) - 1)]
        turn = iter(range(1 << 30))
        call = lambda ask: seconds_of(lambda: ask(*copies[next(turn) % len(copies)]))
        few, rounds = (5, 25) if line.queries <= 64 else (2, 9)
        tried = {way: statistics.median([call(ask) for _ in range(few)][1:]) for way, ask in askers.items()}
        best = min(tried, key=tried.get)
        reads, times = [], []
        for _ in range(rounds):
            reads.append(self.read_rate())
            times.append(call(askers[best]))
        nbytes = store_bytes(line)
        counters = {"seconds": statistics.median(times), "read_gbs": statistics.median(reads) / 1e9,
                    "read_fraction": statistics.median(nbytes / t / r for t, r in zip(times, reads))}
        return best, tried, counters


def row_of(line, torch):
    row = {"name": name_of(line), "run_type": "iteration", "store_bytes": store_bytes(line), "copies": copies_of(line),
           "flops": 4.0 * line.group * line.queries * KV_HEADS * TOKENS * D}
    if torch is None:
        return row | {"label": ", ".join(ways(line))}
    try:
        way, tried, counters = torch.measure(line)
    except RuntimeError as error:
        return row | {"error_occurred": True, "error_message": str(error).split("\n", maxsplit=1)[0]}
    return row | {"label": way, "ways_ms": {each: 1e3 * seconds for each, seconds in tried.items()},
                  "real_time": 1e3 * counters["seconds"], "time_unit": "ms"} | counters


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--filter", type=re.compile, default=re.compile(""))
    parser.add_argument("--dry-run", action="store_true")
    given = parser.parse_args()
    lines = [line for line in grid() if given.filter.search(name_of(line))]
    if not lines:
        print("torch_sdpa: no line fits the filter", file=sys.stderr)
        return 2
    torch = None if given.dry_run else Torch()
    context = {"dry_run": True} if torch is None else {"torch": torch.torch.__version__}
    rows = []
    for line in lines:
        rows.append(row_of(line, torch))
        if torch is not None:
            said = rows[-1].get("error_message") or f"{rows[-1]['real_time']:.3f} ms, {rows[-1]['label']}"
            print(f"{name_of(line)}: {said}", flush=True)
    with open(given.out, "w", encoding="utf-8") as file:
        json.dump({"context": context, "benchmarks": rows}, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())

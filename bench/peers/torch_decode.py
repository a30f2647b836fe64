#!/usr/bin/env python3
"""Decode steps of PyTorch on the shapes of bench/cuda/decode.cu: the same cases, the same rows.

  torch_decode.py [--out FILE.json] [--shape BATCH,CONTEXT[,Q_HEADS]]... [--queries N]... [--peer NAME]...

Peers: scaled_dot_product_attention with each backend forced in turn (enable_gqa), and flex
attention, compiled. A row says which kernel really ran, as the profiler names it, and how it was
told what a query sees: kernels that take no mask tensor mask the lower right triangle by
themselves; where a backend refuses that, it gets the tensor. Each call works on another copy of the
batch, so that together at least four times the L2 cache is read, and a graph works for at least 2 ms.

--list names the cases and ends; --dry-run runs one tiny shape on the CPU, to see that the script
works. Without PyTorch or a GPU a sentence says that nothing was measured.
"""

import argparse
import json
import math
import os
import statistics
import sys

try:
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.attention.bias import causal_lower_right
    from torch.nn.functional import scaled_dot_product_attention
except ImportError:
    torch = None

D, KV_HEADS = 128, 8
LEAST_MICROSECONDS = 2000  # of a graph, so that its launch is not what is measured
BACKENDS = {
    "sdpa flash": "FLASH_ATTENTION",
    "sdpa efficient": "EFFICIENT_ATTENTION",
    "sdpa cudnn": "CUDNN_ATTENTION",
    "sdpa math": "MATH",
}
PEERS = [*BACKENDS, "flex"]
SHAPES = [(1, 32768), (8, 8192), (32, 8192), (64, 16384)]
# How peers are told what several queries see, best first. For backends that are not named PyTorch
# would turn the triangle into a tensor at each call.
MASKS = {
    "sdpa flash": ("lower right", "tensor"),
    "sdpa efficient": ("lower right", "tensor"),
    "flex": ("block",),
}


def shape_of(text):
    """(batch, context) or (batch, context, query heads)."""
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in (2, 3) or min(numbers) < 1 or numbers[2:] not in ((), (32,), (64,)):
        raise argparse.ArgumentTypeError(f"{text!r} is not BATCH,CONTEXT or BATCH,CONTEXT,Q_HEADS with 32 or 64 query heads")
    return numbers


def cases(shapes, queries):
    for n in queries:
        for q_heads in (32, 64):
            for batch, context, *heads in shapes:
                if heads in ([], [q_heads]):
                    yield batch, context, q_heads, KV_HEADS, n


def causal_mask(queries, context, device):
    """Query i of n sees all but the last n - 1 - i tokens; None where it sees everything."""
    if queries == 1:
        return None
    at = torch.arange(context, device=device)
    last = context - queries + torch.arange(queries, device=device)
    return at[None, :] <= last[:, None]


def masks_of(peer, queries):
    return ("none",) if queries == 1 else MASKS.get(peer, ("tensor",))


def mask_of(kind, queries, context, device):
    if kind == "lower right":
        return causal_lower_right(queries, context)
    return causal_mask(queries, context, device)


def sdpa(backend):
    def run(q, k, v, mask):
        with sdpa_kernel(getattr(SDPBackend, backend)):
            return scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)

    return run


def flex():
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    compiled = torch.compile(flex_attention, dynamic=False)
    masks = {}

    def run(q, k, v, mask):
        queries, context = q.shape[2], k.shape[2]
        if mask is None:
            return compiled(q, k, v, enable_gqa=True)
        key = (queries, context)
        if key not in masks:
            sees = lambda b, h, i, j: j <= context - queries + i
            masks[key] = create_block_mask(sees, None, None, queries, context, device=q.device)
        return compiled(q, k, v, block_mask=masks[key], enable_gqa=True)

    return run


def kernel_of(call):
    """The name of the kernel that took most of the device's time."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as p:
        call()
        torch.cuda.synchronize()
    events = [e for e in p.key_averages() if e.device_type == torch.autograd.DeviceType.CUDA]
    return max(events, key=lambda e: e.self_device_time_total).key if events else "unknown"


class TimedGraph:
    """A captured graph of several rounds of the calls."""

    def __init__(self, calls, rounds):
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            for _ in range(rounds):
                for call in calls:
                    call()
        self.microseconds()  # the first replay uploads the graph

    def microseconds(self):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        self.graph.replay()
        end.record()
        end.synchronize()
        return 1000 * begin.elapsed_time(end)


def rounds_for(rounds, us):
    """Rounds that take at least as long as a graph should, where `rounds` took us."""
    if us >= LEAST_MICROSECONDS:
        return rounds
    return min(4096, rounds * max(2, math.ceil(1.1 * LEAST_MICROSECONDS / max(us, 1))))


def median_microseconds(calls, replays):
    """Median time of one of the calls, which are captured into one graph."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for call in calls:
            call()
    torch.cuda.synchronize()
    rounds, graph = 1, TimedGraph(calls, 1)
    while (longer := rounds_for(rounds, graph.microseconds())) != rounds:
        rounds, graph = longer, TimedGraph(calls, longer)
    times = [graph.microseconds() for _ in range(replays + 3)][3:]
    return statistics.median(times) / (rounds * len(calls))


def copy_bytes_per_second():
    a = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    b = torch.empty_like(a)
    return 2 * a.numel() / median_microseconds([lambda: b.copy_(a)], 20) * 1e6


def batch_of(shape, device):
    batch, context, q_heads, kv_heads, queries = shape
    make = lambda heads, n: torch.randn(batch, heads, n, D, dtype=torch.bfloat16, device=device)
    return make(q_heads, queries), make(kv_heads, context), make(kv_heads, context)


def check(run, shape, kind, device):
    """A small batch against double precision, before anything is timed."""
    small = (1, 512, *shape[2:])
    q, k, v = batch_of(small, device)
    mask = causal_mask(small[4], small[1], device)
    group = small[2] // small[3]
    wide = lambda x: x.double().repeat_interleave(group, dim=1)
    logits = q.double() @ wide(k).transpose(-1, -2) / D**0.5
    if mask is not None:
        logits = logits.masked_fill(~mask, float("-inf"))
    want = logits.softmax(-1) @ wide(v)
    got = run(q, k, v, mask_of(kind, small[4], small[1], device)).double()
    error = ((got - want).abs().amax(-1) / want.abs().amax(-1)).max().item()
    if error > 2e-2:
        raise RuntimeError(f"wrong by {error}")


def measure(name, run, shape, kind, copy_rate, l2_bytes):
    batch, context, q_heads, kv_heads, queries = shape
    check(run, shape, kind, "cuda")
    nbytes = 4 * batch * context * kv_heads * D
    copies = 1 + int(4 * l2_bytes / nbytes)
    mask = mask_of(kind, queries, context, "cuda")
    data = [batch_of(shape, "cuda") for _ in range(copies)]
    calls = [lambda x=x: run(*x, mask) for x in data]
    kernel = kernel_of(calls[0])
    us = median_microseconds(calls, 30)
    rate = nbytes / us * 1e6
    return {
        "case": "decode", "batch": batch, "context": context, "q_heads": q_heads,
        "kv_heads": kv_heads, "query_tokens": queries, "store": "dense", "kv_bytes_ratio": 1.0,
        "microseconds": us, "bytes_per_second": rate, "copy_fraction": rate / copy_rate,
        "peer": name, "mask": kind, "kernel": kernel,
    }


def measure_first(name, run, shape, refused, *machine):
    """A row with the first kind of mask that the peer takes; None, and why, where it takes none."""
    why = []
    for kind in masks_of(name, shape[4]):
        try:
            return measure(name, run, shape, kind, *machine)
        except Exception as error:  # a backend that cannot do the shape is an answer
            why.append(f"mask {kind}: " + str(error).split("\n")[0])
        finally:
            torch.cuda.empty_cache()
    refused.append({"peer": name, "shape": shape, "why": "; ".join(why)})
    print(f"{shape} {name}: refused", file=sys.stderr)
    return None


def write(path, result):
    """Put in place at once: the file is whole at any time, whatever stops the run."""
    if path:
        with open(path + ".part", "w", encoding="utf-8") as out:
            json.dump(result, out, indent=1)
        os.replace(path + ".part", path)


def measure_all(given):
    device = torch.cuda.get_device_properties(0)
    copy_rate = copy_bytes_per_second()
    result = {"gpu": device.name, "torch": torch.__version__, "copy_bytes_per_second": copy_rate, "rows": [],
              "refused": []}
    peers = {name: flex() if name == "flex" else sdpa(BACKENDS[name]) for name in given.peer}
    for shape in cases(given.shape, given.queries):
        torch._dynamo.reset()  # a compiled peer gives up after a few shapes
        for name, run in peers.items():
            row = measure_first(name, run, shape, result["refused"], copy_rate, device.L2_cache_size)
            if row is not None:
                result["rows"].append(row)
                print(f"{shape} {name}: {row['microseconds']:.1f} us, {row['copy_fraction']:.3f} of a copy, "
                      f"mask {row['mask']}, {row['kernel'][:60]}", flush=True)
            write(given.out, result)


def dry_run():
    for kind in ("lower right", "tensor"):
        check(sdpa("MATH"), (1, 64, 8, 2, 4), kind, "cpu")
    print("dry run: ok")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out")
    parser.add_argument("--shape", action="append", type=shape_of)
    parser.add_argument("--queries", action="append", type=int, choices=range(1, 65), metavar="1..64")
    parser.add_argument("--peer", action="append", choices=PEERS)
    parser.add_argument("--quick", action="store_true", help="the first shape alone")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    given = parser.parse_args()
    given.shape = given.shape or SHAPES[: 1 if given.quick else None]
    given.queries, given.peer = given.queries or [1, 4, 16], given.peer or PEERS
    if given.list:
        for shape in cases(given.shape, given.queries):
            print("\n".join(f"{shape} {peer}" for peer in given.peer))
    elif torch is None:
        print("PyTorch is not here: its attention is not measured; install it with bench/peers/setup.sh")
    elif given.dry_run:
        dry_run()
    elif not torch.cuda.is_available():
        print("no GPU: nothing measured")
    else:
        measure_all(given)


if __name__ == "__main__":
    main()

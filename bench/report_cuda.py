#!/usr/bin/env python3
"""Tables and a picture of what bench/cuda and bench/peers have measured on a GPU.

  report_cuda.py --join bench/results/GPU-DATE.json RUN.json...   puts programs' outputs together
  report_cuda.py bench/results/GPU-DATE.json [--out FOLDER]       writes cuda_GPU.md and .svg

GPU is the device's name in small letters (nvidia_h200), DATE the day it was measured on (2000-12-31),
FOLDER docs/measurements. A file that is not whole, or that contradicts itself, is refused with a
sentence, and nothing is written. report_cuda_form.py says what is accepted, report_cuda_svg.py draws.
"""

import argparse
import datetime
import json
import os
import re
import sys

from report_cuda_form import Refused, check_result, check_run, parse, slug, shape_of
from report_cuda_svg import picture

HERE = os.path.dirname(os.path.abspath(__file__))
LARGEST_FILE = 16 << 20


def read(path):
    try:
        if os.path.getsize(path) > LARGEST_FILE:
            raise Refused(f"{path} is larger than any result")
        with open(path, encoding="utf-8") as file:
            return parse(file.read())
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path} cannot be read: {error}") from None


def name_of(path):
    """GPU and date that a result's file is named after."""
    match = re.fullmatch(r"([a-z0-9]+(?:_[a-z0-9]+)*)-([0-9]{4}-[0-9]{2}-[0-9]{2})\.json", os.path.basename(path))
    try:
        return match.group(1), datetime.date.fromisoformat(match.group(2))
    except (AttributeError, ValueError):
        raise Refused(f"{os.path.basename(path)!r} is not named GPU-DATE.json") from None


def check_name(path, gpu):
    if name_of(path)[0] != slug(gpu):
        raise Refused(f"the file is named after another GPU than {gpu!r}, which is {slug(gpu)}")


def write(path, text):
    """All or nothing: a reader never sees half of a file."""
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(path + ".part", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(path + ".part", path)
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error}") from None


def gpu_of(runs):
    for run in runs:
        check_run(run)
    gpus = {run["gpu"] for run in runs}
    if len(gpus) != 1:
        raise Refused("the runs are of different GPUs")
    return gpus.pop()


def put_together(path, runs, **session):
    result = {"gpu": gpu_of(runs), "runs": runs} | session
    check_name(path, result["gpu"])
    check_result(result)
    write(path, json.dumps(result, indent=1) + "\n")


WORDS = {"store", "peer", "step", "result", "last words"}  # columns that are not numbers


def table(columns, lines):
    rows = [columns, ["---" if c in WORDS else "---:" for c in columns], *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def percent(ratio):
    return f"{100 * ratio:.1f}%"


def shape_cells(row):
    return [str(row["batch"]), str(row["context"]), f"{row['q_heads']}/{row['kv_heads']}", str(row["query_tokens"])]


SHAPE = ["batch", "context", "heads", "q"]


def of_read(row):
    """What a row reads a second, over what reading alone moves, where the run has measured that."""
    return f"{row['bytes_per_second'] / row['read_rate']:.3f}" if row.get("read_rate") else "-"


def decode_table(rows):
    """Every row with its time over that of our dense store of the same shape."""
    dense = {shape_of(r): r for r in rows if r["peer"] == "rota" and r["store"] == "dense"}
    lines = []
    for r in sorted(rows, key=lambda r: (shape_of(r), r["peer"] != "rota")):
        base = dense.get(shape_of(r))
        ratio = f"{r['microseconds'] / base['microseconds']:.3f}" if base else "-"
        kernel = re.match(r"[\w: ]*", r.get("kernel", "")).group(0).strip()[:40]
        peer = r["peer"] + (f" (`{kernel}`)" if kernel else "")
        lines.append(shape_cells(r) + [peer, r["store"], percent(r["kv_bytes_ratio"]),
                     f"{r['microseconds']:.1f}", ratio, f"{r['copy_fraction']:.3f}", of_read(r)])
    return table(SHAPE + ["peer", "store", "bytes", "us", "time over dense", "of copy", "of reading"], lines)


def select_table(rows):
    lines = [[r["case"], str(r["context"]), str(r["kv_heads"]), r["store"], percent(r["kv_bytes_ratio"]),
              f"{r['microseconds']:.1f}", f"{r['copy_fraction']:.3f}"] for r in rows]
    return table(["case", "context", "kv heads", "store", "bytes", "us", "of copy"], lines)


def prefill_table(rows):
    alone = {shape_of(r): r for r in rows if r["case"] == "prefill"}
    lines = []
    for r in rows:
        base = alone[shape_of(r)]
        lines.append([r["case"], str(r["context"]), r["store"], percent(r["kv_bytes_ratio"]),
                      f"{r['microseconds'] / 1000:.2f}", f"{r['microseconds'] / base['microseconds']:.4f}",
                      f"{r['peak_bytes'] / 1e9:.3f}", f"{r['peak_bytes'] / base['peak_bytes']:.4f}"])
    return table(["case", "context", "store", "bytes", "ms", "time over prefill", "peak GB",
                  "peak over prefill"], lines)


SECTIONS = [
    ("Decoding", ("decode",), decode_table,
     "One step. `bytes`: the store over dense keys and values. `time over dense`: over our own attention "
     "over the dense store of the same shape. `of copy`: bytes of the store a second over what a copy "
     "inside the device moves, read plus written, in the same run; `of reading`: over what a kernel that only reads moves."),
    ("Selection and packing", ("select", "pack", "select and pack"), select_table,
     "`of copy` counts what must be moved at least: scores, selection, survivors' rows, the store."),
    ("Compression beside a prefill", ("prefill", "prefill and compress"), prefill_table,
     "One layer of hidden size 4096; attention of the prefill by our own operator, which is made for few "
     "queries. Peak memory as the benchmark counts what it hands out."),
]


def steps_table(steps):
    lines = [[s["name"], s["result"], str(s["seconds"]), s["words"]] for s in steps]
    return table(["step", "result", "seconds", "last words"], lines)


def document(result, gpu, date):
    rows = [row | {"read_rate": run.get("read_bytes_per_second")} for run in result["runs"] for row in run["rows"]]
    text = [f"# CUDA on {result['gpu']}\n",
            f"Measured on {date.isoformat()}; written by `bench/report_cuda.py` from "
            f"`bench/results/{gpu}-{date.isoformat()}.json`. Medians of replayed graphs of 2 ms or more; decoding, "
            "selection and packing rotate over buffers of four times the L2 cache. Times are of this machine and these shapes alone.\n"]
    rates = ", ".join(f"{run['copy_bytes_per_second'] / 1e12:.3f}" for run in result["runs"])
    text.append(f"Copies inside the device, read plus written, in each run: {rates} TB/s.\n")
    versions = {f"driver for CUDA {run['driver']}" for run in result["runs"] if "driver" in run}
    versions |= {f"PyTorch {run['torch']}" for run in result["runs"] if "torch" in run}
    if versions:
        text.append(f"Software: {', '.join(sorted(versions))}.\n")
    if any(row["case"] == "decode" for row in rows):
        text.append(f"![Bytes against time](cuda_{gpu}.svg)\n")
    for title, cases, make, words in SECTIONS:
        chosen = [row for row in rows if row["case"] in cases]
        if chosen:
            text += [f"## {title}\n", words + "\n", make(chosen)]
    if result.get("steps"):
        at = f" Of revision `{result['revision']}`." if "revision" in result else ""
        text += ["## The session\n", "What `scripts/gpu_runner.sh` ran, in its order; `advisory`: for a reader to judge." +
                 at + "\n", steps_table(result["steps"])]
    refused = sum(len(run.get("refused", [])) for run in result["runs"])
    if refused:
        text.append(f"Peers refused {refused} cases; the file names them.\n")
    return "\n".join(text)


def report(path, folder):
    gpu, date = name_of(path)
    result = read(path)
    check_result(result)
    check_name(path, result["gpu"])
    rows = [row for run in result["runs"] for row in run["rows"]]
    text = document(result, gpu, date)
    drawn = picture(result["gpu"], [row for row in rows if row["case"] == "decode" and row["peer"] == "rota"])
    write(os.path.join(folder, f"cuda_{gpu}.md"), text)
    if drawn is not None:
        write(os.path.join(folder, f"cuda_{gpu}.svg"), drawn)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("result")
    parser.add_argument("runs", nargs="*", metavar="RUN")
    parser.add_argument("--join", action="store_true")
    parser.add_argument("--out", default=os.path.join(HERE, "..", "docs", "measurements"))
    given = parser.parse_args()
    if given.join != bool(given.runs):
        parser.error("--join takes runs, and nothing else does")
    try:
        if given.join:
            put_together(given.result, [read(run) for run in given.runs])
        else:
            report(given.result, given.out)
    except Refused as why:
        print(f"report_cuda: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Tables and pictures of what the benchmarks have measured on a CPU.

  report.py results.json [--peers peers.json] [--name SLUG] [--out FOLDER] [--tables]

Writes FOLDER/SLUG/report.md, roofline.svg, bytes_time.svg, and the data that they were made of. FOLDER is
docs/measurements, SLUG the CPU's name in small letters. Pictures need matplotlib: `bench/peers/setup.sh plot`
installs it, then build/peers/bin/python runs this; --tables does without. report_goals.py has the goals.
"""

import argparse
import json
import os
import re
import sys

from report_goals import verdicts
from result_file import Refused, lines_of, load

HERE = os.path.dirname(os.path.abspath(__file__))
# What a file says about a machine's owner and not about its speed.
PRIVATE = {"host_name", "executable"}


def slug(cpu):
    words = re.sub(r"\((R|TM|tm)\)|@.*|\bCPU\b|\bProcessor\b|\d+-Core\b", " ", cpu)
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_") or "unknown"


def cell(value):
    return str(value).replace("|", "\\|").replace("\n", " ")


def table(columns, rows, words=()):
    """Columns of figures stand to the right; the first one and `words` do not."""
    rule = ["---" if i == 0 or name in words else "---:" for i, name in enumerate(columns)]
    return "\n".join("| " + " | ".join(map(cell, row)) + " |" for row in [columns, rule, *rows]) + "\n"


def number(counters, name, form=".3f", unit=1.0):
    return format(counters[name] / unit, form) if name in counters else "-"


def milliseconds(counters):
    """The median where a line has one, else the mean."""
    return number(counters, "seconds", ".3f", 1e-3) if "seconds" in counters else number(counters, "real_time", ".3f", 1e6)


def goal_table(found):
    words = {True: "reached", False: "**missed**", None: "-"}
    rows = [[v.words, v.line if v.line == "-" else f"`{v.line}`", v.found, words[v.reached]] for v in found]
    return table(["goal", "line", "measured", "verdict"], rows, words=("line", "measured", "verdict"))


def store_table(lines):
    rows = [[f"`{name}`", number(c, "store_bytes", ".1f", 1e6), number(c, "byte_ratio"), number(c, "time_ratio"),
             number(c, "read_fraction"), number(c, "fma_fraction"), milliseconds(c)]
            for name, c in lines.items()]
    return table(["line", "store MB", "byte_ratio", "time_ratio", "read_fraction", "fma_fraction", "ms"], rows)


def other_table(lines):
    def others(counters):
        return ", ".join(f"{name} {value:.4g}" for name, value in counters.items() if name != "real_time")
    rows = [[f"`{name}`", milliseconds(c), others(c)] for name, c in lines.items()]
    return table(["line", "ms", "counters"], rows, words=("counters",))


def peer_table(lines):
    rows = [[f"`{name}`", milliseconds(c), number(c, "speedup", ".2f"),
             f"{c['speedup_low']:.2f} to {c['speedup_high']:.2f}" if "speedup_low" in c else "-",
             number(c, "read_fraction")] for name, c in lines.items()]
    return table(["line", "ms", "times faster than the peer", "rounds", "read_fraction"], rows)


def machine(context):
    caches = {f"L{c['level']} {c['size'] >> 10} KB" for c in context.get("caches", []) if c.get("type") in ("Data", "Unified")}
    known = [f"{context.get('cpu', 'unknown CPU')}, {context.get('num_cpus', '?')} cores", *sorted(caches)]
    known += [f"{what} {context[what]}" for what in ("isa", "compiler", "rota") if what in context]
    return ", ".join(known)


def with_speedups(lines, peers):
    """What the goals are about: our lines, and of those that ran beside a peer how much faster they were."""
    judged = {name: dict(counters) for name, counters in lines.items()}
    for name, counters in peers.items():
        if "speedup" in counters:
            judged.setdefault(name, {})["speedup"] = counters["speedup"]
    return judged


def document(context, peer_context, lines, peers, errors, drawn):
    found = verdicts(with_speedups(lines, peers))
    measured = [v for v in found if v.reached is not None]
    stores = {name: c for name, c in lines.items() if "store_bytes" in c}
    parts = [f"# Benchmarks on {context.get('cpu', 'an unknown CPU')}\n",
             f"Measured on {str(context.get('date', '?'))[:10]} by `make bench` or `make bench-all`; written by `bench/report.py` "
             "from the files beside this one. [What lines and counters mean](../../benchmarks.md).\n",
             f"Machine: {machine(context)}.\n",
             "## Goals\n", f"{sum(v.reached for v in measured)} of {len(measured)} reached.\n", goal_table(found)]
    parts += [f"![{words}]({name})\n" for name, words in PICTURES.items() if name in drawn]
    parts += ["## Attention over stores\n", store_table(stores)]
    parts += ["## Other lines\n", other_table({name: c for name, c in lines.items() if name not in stores})]
    if peers:
        parts += ["## Beside PyTorch\n", f"PyTorch {peer_context.get('torch', '?')}, in turns with ours, "
                  f"{peer_context.get('rounds', '?')} rounds, on {str(peer_context.get('date', '?'))[:10]}; medians.\n", peer_table(peers)]
    if errors:
        parts += ["## Failed\n", *(f"- `{name}`: {cell(why)}" for name, why in errors.items()), ""]
    return "\n".join(parts)


PICTURES = {"roofline.svg": "Roofline", "bytes_time.svg": "Bytes against time"}


def draw(lines, folder):
    """The names of the pictures that there was data for."""
    try:
        import report_draw
    except ImportError:
        raise Refused("pictures need matplotlib: run `bench/peers/setup.sh plot`, then `build/peers/bin/python bench/report.py ...`; "
                      "or ask for --tables alone") from None
    makers = {"roofline.svg": report_draw.roofline, "bytes_time.svg": report_draw.bytes_time}
    return [name for name, make in makers.items() if make(lines, os.path.join(folder, name))]


def public(result):
    context = {name: value for name, value in result.get("context", {}).items() if name not in PRIVATE}
    return json.dumps(result | {"context": context}, indent=1) + "\n"


def write(folder, name, text):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(text)


def report(given):
    result = load(given.results)
    peer = load(given.peers) if given.peers else {"benchmarks": []}
    context, peer_context = result.get("context", {}), peer.get("context", {})
    if given.peers and peer_context.get("cpu") != context.get("cpu"):
        raise Refused(f"{given.results} and {given.peers} are of different machines")
    lines, errors = lines_of(result)
    peers, peer_errors = lines_of(peer)
    folder = os.path.join(given.out, given.name or slug(context.get("cpu", "")))
    os.makedirs(folder, exist_ok=True)
    drawn = [] if given.tables else draw(lines, folder)
    write(folder, "report.md", document(context, peer_context, lines, peers, errors | peer_errors, drawn))
    write(folder, "results.json", public(result))
    if given.peers:
        write(folder, "peers.json", public(peer))
    print(f"wrote {os.path.relpath(folder)}: report.md{''.join(', ' + name for name in drawn)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("results")
    parser.add_argument("--peers")
    parser.add_argument("--name", type=slug)
    parser.add_argument("--out", default=os.path.join(HERE, "..", "docs", "measurements"))
    parser.add_argument("--tables", action="store_true")
    try:
        report(parser.parse_args())
    except Refused as why:
        print(f"report: {why}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

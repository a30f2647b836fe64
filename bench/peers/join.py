#!/usr/bin/env python3
"""Puts rounds of our lines and of a peer's together: how much faster are we?

  join.py --out peers.json --ours OURS.json... --peer PEER.json...

The files of a round stand at the same place of both lists. A line attend/FAMILY/STORE/SHAPE is set beside
peer/NAME/FAMILY/dense/SHAPE of the same round; `speedup` is the median over the rounds of the peer's seconds
over ours, speedup_low and speedup_high are the extremes. The peer's lines come after ours, with medians.
"""

import argparse
import json
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from result_file import Refused, line_name, lines_of, load  # noqa: E402


def seconds_of(path):
    lines, errors = lines_of(load(path))
    for name, why in errors.items():
        raise Refused(f"{path}: {name} failed: {why}")
    return {name: counters for name, counters in lines.items() if "seconds" in counters}


def peer_of(name, peers):
    """The peer's line of the same shape, whose store is dense."""
    family, _, *shape = name.split("/")[1:]
    ends = "/".join([family, "dense", *shape])
    return next((peer for peer in peers if peer.startswith("peer/") and peer.split("/", 2)[2] == ends), None)


def common_lines(rounds):
    return [name for name in rounds[0] if all(name in lines for lines in rounds)]


def median_row(name, rounds):
    common = set.intersection(*(set(lines[name]) for lines in rounds)) - {"real_time"}
    row = {"name": name, "run_type": "iteration"}
    row |= {counter: statistics.median(lines[name][counter] for lines in rounds) for counter in sorted(common)}
    return row | {"real_time": 1e3 * row["seconds"], "time_unit": "ms"}


def labels_of(path):
    """How a peer was asked."""
    return {line_name(row["name"]): row["label"] for row in load(path)["benchmarks"] if "label" in row}


def joined(ours, peers, labels):
    rows = []
    for name in common_lines(ours):
        peer = peer_of(name, common_lines(peers)) if name.startswith("attend/") else None
        if peer is None:
            continue
        ratios = [theirs[peer]["seconds"] / lines[name]["seconds"] for lines, theirs in zip(ours, peers)]
        rows.append(median_row(name, ours) | {"peer": peer, "speedup": statistics.median(ratios),
                                              "speedup_low": min(ratios), "speedup_high": max(ratios)})
    if not rows:
        raise Refused("no line of ours has a peer of its shape")
    used = {row["peer"] for row in rows}
    return rows + [median_row(name, peers) | {"label": labels.get(name, "")} for name in common_lines(peers) if name in used]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--ours", nargs="+", required=True)
    parser.add_argument("--peer", nargs="+", required=True)
    given = parser.parse_args()
    try:
        if len(given.ours) != len(given.peer):
            raise Refused("a round has a file of ours and one of the peer's")
        rows = joined([seconds_of(path) for path in given.ours], [seconds_of(path) for path in given.peer],
                      labels_of(given.peer[-1]))
        context = load(given.ours[0]).get("context", {}) | load(given.peer[0]).get("context", {})
    except Refused as why:
        print(f"join: {why}", file=sys.stderr)
        return 2
    with open(given.out, "w", encoding="utf-8") as file:
        json.dump({"context": context | {"rounds": len(given.ours)}, "benchmarks": rows}, file, indent=1)
    for row in rows:
        if "speedup" in row:
            print(f"{row['name']}: {row['speedup']:.2f}x ({row['speedup_low']:.2f} to {row['speedup_high']:.2f}) {row['peer']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

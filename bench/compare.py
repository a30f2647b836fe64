#!/usr/bin/env python3
"""Compares two results of the benchmarks: has a line got worse?

  compare.py OLD.json NEW.json [--tolerance 0.1] [--counter NAME]

A line is judged by the ratios that it carries, which do not depend on how fast the machine was: time over
that of a yardstick, bytes a second over the read probe's. A line without any is judged by its real_time.
Lines probe/... are about the machine and are not judged. --counter looks at one counter alone.

Exit status: 0 nothing got worse by more than the tolerance, 1 something did or failed, 2 bad input.
"""

import argparse
import re
import sys

from result_file import Refused, lines_of, load

RATIOS = ("time_ratio", "share_of_prefill", "read_fraction", "copy_fraction")


def lower_is_worse(counter):
    return re.search(r"(_fraction|_gbs|_gflops|speedup|thread_ratio)$", counter) is not None


def worsening(counter, old, new):
    """By how much of the old figure the new one is worse; negative: better."""
    if old <= 0 or new <= 0:
        raise Refused(f"{counter} is {min(old, new):g}, which is no measurement")
    return old / new - 1 if lower_is_worse(counter) else new / old - 1


def judged(old, new, only):
    """The counters that decide about a line."""
    common = [counter for counter in old if counter in new]
    if only:
        return [only] if only in common else []
    return [counter for counter in RATIOS if counter in common] or [c for c in ("real_time",) if c in common]


def compare(old, new, only):
    """Rows (line, counter, old, new, worsening) of what both results have."""
    return [(name, counter, old[name][counter], figures[counter], worsening(counter, old[name][counter], figures[counter]))
            for name, figures in new.items() if name in old and not name.startswith("probe/")
            for counter in judged(old[name], figures, only)]


def print_table(rows, tolerance):
    width = max([len(row[0]) for row in rows] + [4])
    print(f"{'line':<{width}}  {'counter':<16}  {'old':>10}  {'new':>10}  {'change':>8}")
    for name, counter, old, new, worse in rows:
        verdict = "  WORSE" if worse > tolerance else ""
        print(f"{name:<{width}}  {counter:<16}  {old:>10.4g}  {new:>10.4g}  {100 * (new / old - 1):>+7.1f}%{verdict}")


def run(given):
    old, old_errors = lines_of(load(given.old))
    new, errors = lines_of(load(given.new))
    rows = compare(old, new, given.counter)
    if not rows and not errors:
        what = f"with the counter {given.counter}" if given.counter else "that can be judged"
        raise Refused(f"{given.old} and {given.new} have no common line {what}")
    print_table(rows, given.tolerance)
    for name, why in errors.items():
        print(f"FAILED {name}: {why}")
    missing = sorted((old.keys() | old_errors.keys()) - new.keys() - errors.keys())
    if missing:
        print(f"only in {given.old}: {len(missing)} lines, such as {missing[0]}")
    worse = {row[0] for row in rows if row[4] > given.tolerance}
    print(f"{len({row[0] for row in rows})} lines compared, {len(worse)} worse by more than {100 * given.tolerance:g}%, "
          f"{len(errors)} failed")
    return 1 if worse or errors else 0


def tolerance(text):
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--tolerance", type=tolerance, default=0.1, help="0.1: ten percent")
    parser.add_argument("--counter")
    try:
        return run(parser.parse_args())
    except Refused as why:
        print(f"compare: {why}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""What a session on a GPU brought back, as a result and a page.

  gpu_results.py FOLDER [--results bench/results] [--pages docs/measurements]

FOLDER has what scripts/gpu_runner.sh writes: steps.tsv and measurements, *.json. Writes
RESULTS/GPU-DATE.json, and of that PAGES/cuda_GPU.md and .svg, as report_cuda.py does. A case that two
runs measured is taken from the one with more rows; runs without rows are left out, each with a sentence.
"""

import argparse
import glob
import os
import sys

from report_cuda import check_name, gpu_of, put_together, read, report
from report_cuda_form import Refused, shape_of, slug

HERE = os.path.dirname(os.path.abspath(__file__))


def session_of(path):
    """Date, revision and steps of a session's table."""
    facts, steps = {}, []
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        cells = line.split("\t")
        if line.startswith("# ") and len(cells) == 2:
            facts[cells[0][2:]] = cells[1]
            continue
        if len(cells) != 4 or not cells[2].isascii() or not cells[2].isdigit():
            raise Refused(f"{path}, line {number}: not a step's name, result, seconds and words")
        steps.append({"name": cells[0], "result": cells[1], "seconds": int(cells[2]), "words": cells[3].strip()})
    for fact in ("date", "revision"):
        if fact not in facts:
            raise Refused(f"{path} has no line '# {fact}'")
    return facts["date"], facts["revision"], steps


def key_of(row):
    return row["peer"], row["case"], row["store"], shape_of(row)


def without_twins(runs):
    """The longest run first; what a shorter one measured as well is left out there."""
    seen, kept = set(), []
    for run in sorted(runs, key=lambda run: -len(run["rows"])):
        rows = [row for row in run["rows"] if key_of(row) not in seen]
        seen |= {key_of(row) for row in rows}
        if rows:
            kept.append(run | {"rows": rows})
    return kept


def runs_in(folder):
    runs = []
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.json"))):
        run = read(path)
        if isinstance(run, dict) and run.get("rows") == []:
            print(f"{path} has no rows: left out")
            continue
        runs.append(run)
    if not runs:
        raise Refused(f"{folder} has no measurements")
    gpu_of(runs)
    return without_twins(runs)


def collect(folder, results, pages):
    date, revision, steps = session_of(os.path.join(folder, "steps.tsv"))
    runs = runs_in(folder)
    path = os.path.join(results, f"{slug(gpu_of(runs))}-{date}.json")
    check_name(path, gpu_of(runs))
    put_together(path, runs, revision=revision, steps=steps)
    report(path, pages)
    print(f"written: {path} and {pages}/cuda_{slug(gpu_of(runs))}.md")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--results", default=os.path.join(HERE, "results"))
    parser.add_argument("--pages", default=os.path.join(HERE, "..", "docs", "measurements"))
    given = parser.parse_args()
    try:
        collect(given.folder, given.results, given.pages)
    except Refused as why:
        print(f"gpu_results: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

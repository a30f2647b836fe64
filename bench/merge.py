#!/usr/bin/env python3
"""Puts results of the benchmarks together: merge.py OUT.json IN.json...

The context is the first one's. A line that several have is the last one's. OUT may be one of IN.
"""

import json
import sys

from result_file import Refused, line_name, load


def merged(results):
    rows = {}
    for result in results:
        new = {}
        for row in result["benchmarks"]:
            new.setdefault(line_name(row["name"]), []).append(row)
        rows |= new
    return {"context": results[0].get("context", {}), "benchmarks": [row for same in rows.values() for row in same]}


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        result = merged([load(path) for path in sys.argv[2:]])
    except Refused as why:
        print(f"merge: {why}", file=sys.stderr)
        return 2
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Result files of the benchmarks, in the form of Google Benchmark's JSON: read and checked."""

import json
import math
import re
import statistics

NANOSECONDS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
# What a row says beside its counters.
NO_COUNTERS = {"family_index", "per_family_instance_index", "repetitions", "repetition_index", "threads", "iterations",
               "cpu_time", "real_time"}


class Refused(Exception):
    """A sentence that says why."""


def load(path):
    try:
        with open(path, encoding="utf-8") as file:
            result = json.load(file)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise Refused(f"{path} is not JSON; was the run stopped?") from None
    rows = result.get("benchmarks") if isinstance(result, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and isinstance(row.get("name"), str) for row in rows):
        raise Refused(f"{path} is not a result of Google Benchmark")
    return result


def line_name(name):
    """The line's own name, without what Google Benchmark appends."""
    return re.sub(r"(/(iterations:\d+|repeats:\d+|manual_time|real_time|process_time))+$", "", name)


def is_figure(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def counters_of(row):
    figures = {name: value for name, value in row.items() if is_figure(value) and name not in NO_COUNTERS}
    if is_figure(row.get("real_time")) and row.get("time_unit") in NANOSECONDS:
        figures["real_time"] = row["real_time"] * NANOSECONDS[row["time_unit"]]
    return figures


def lines_of(result):
    """({line: {counter: figure}}, {line: error}); of a line that ran several times the medians, real_time in ns."""
    runs, errors = {}, {}
    for row in result["benchmarks"]:
        name = line_name(row["name"])
        if row.get("error_occurred"):
            errors[name] = str(row.get("error_message", "no message"))
        elif row.get("run_type") != "aggregate":
            runs.setdefault(name, []).append(counters_of(row))
    lines = {}
    for name, rows in runs.items():
        if name not in errors:
            common = set.intersection(*(set(row) for row in rows))
            lines[name] = {counter: statistics.median(row[counter] for row in rows) for counter in sorted(common)}
    return lines, errors

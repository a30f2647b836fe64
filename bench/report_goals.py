"""The goals of report.py: which lines they are about, and what of a line's counters decides."""

import collections
import re

# `lines`: a regular expression that fits a whole name. `ways`: one that is good enough reaches the goal.
Goal = collections.namedtuple("Goal", "words lines ways")
# `figure`: counters -> number or None. `bound`: what it must reach, from below or (at_most) from above.
Way = collections.namedtuple("Way", "name figure bound at_most", defaults=(False,))
Verdict = collections.namedtuple("Verdict", "words line found reached")


def counter(*names):
    """The first of these counters that a line has."""
    return lambda counters: next((counters[name] for name in names if name in counters), None)


def time_over_bytes(counters):
    if "time_ratio" not in counters or not counters.get("byte_ratio"):
        return None
    return counters["time_ratio"] / counters["byte_ratio"]


READ_HALF = Way("of the read probe", counter("read_fraction"), 0.5)
GOALS = [
    Goal("dense bf16 reads at 0.85 of the probe", r"attend/decode/dense/bf16/g[148]/q1/threads:2",
         [Way("of the read probe", counter("read_fraction"), 0.85)]),
    Goal("dense f32 reads at 0.90 of the probe", r"attend/decode/dense/f32/g[148]/q1/threads:2",
         [Way("of the read probe", counter("read_fraction"), 0.90)]),
    Goal("a packed store costs its bytes, to 8%", r"attend/decode/packed37/\w+/g\d+/q1/threads:2",
         [Way("time over bytes", time_over_bytes, 1.08, at_most=True)]),
    Goal("16 queries: half of the read probe, or 0.6 of the arithmetic", r"attend/decode/\w+/\w+/g4/q16/threads:2",
         [READ_HALF, Way("of the arithmetic probe", counter("unit_fraction", "fma_fraction"), 0.6)]),
    Goal("selection and packing move half of what a probe does", r"(select|pack)/.*",
         [READ_HALF, Way("of the copy probe", counter("copy_fraction"), 0.5)]),
    Goal("dense twice as fast as the peer", r"attend/decode/dense/bf16/g4/q1/threads:\d+",
         [Way("times faster", counter("speedup"), 2)]),
    Goal("packed37 five times as fast as the peer", r"attend/decode/packed37/bf16/g4/q1/threads:\d+",
         [Way("times faster", counter("speedup"), 5)]),
    Goal("the umbrella header adds at most a second", r"compile_time/umbrella",
         [Way("seconds", lambda counters: counters["real_time"] / 1e9, 1.0, at_most=True)]),
]


def is_good(way, figure):
    return figure <= way.bound if way.at_most else figure >= way.bound


def judge(goal, name, counters):
    """None where the line does not carry what the goal is about."""
    found = [(way, way.figure(counters)) for way in goal.ways]
    found = [(way, figure) for way, figure in found if figure is not None]
    if not found:
        return None
    words = ", ".join(f"{figure:.3f} {way.name}" for way, figure in found)
    return Verdict(goal.words, name, words, any(is_good(way, figure) for way, figure in found))


def verdicts(lines):
    """Of every goal and line that it is about; of a goal without such a line one verdict that says so."""
    all_of_them = []
    for goal in GOALS:
        judged = [judge(goal, name, counters) for name, counters in lines.items() if re.fullmatch(goal.lines, name)]
        found = [verdict for verdict in judged if verdict is not None]
        all_of_them += found or [Verdict(goal.words, "-", "not measured", None)]
    return all_of_them

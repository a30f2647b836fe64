"""What report_cuda.py accepts: the form of a result, and what its numbers must agree on.

A result is {"gpu", "runs"}, and of a session also {"revision", "steps"}; a run is what a program of
bench/cuda or bench/peers writes, a step what scripts/gpu_runner.sh says of one. Results may come from anybody's machine, so nothing in them is trusted: names reach a document, numbers a
picture.
"""

import json
import re


class Refused(Exception):
    """A sentence that says why."""


CASES = ("decode", "select", "pack", "select and pack", "prefill", "prefill and compress")
HEAD_SIZE = 128  # of every benchmark
MOST_ROWS = 10000
ROW_KEYS = {"case", "batch", "context", "q_heads", "kv_heads", "query_tokens", "store", "kv_bytes_ratio",
            "microseconds", "bytes_per_second", "copy_fraction", "peer"}
MORE_ROW_KEYS = {"peak_bytes", "kernel", "mask"}
RUN_KEYS = {"gpu", "copy_bytes_per_second", "rows"}
MORE_RUN_KEYS = {"driver", "torch", "refused", "read_bytes_per_second"}
STEP_KEYS = {"name", "result", "seconds", "words"}
STEP_RESULTS = "ok|failed|advisory|stopped|skipped"
MOST_STEPS = 1000


def parse(text):
    def no_constant(name):
        raise Refused(f"the file has the number {name}")

    def no_twins(pairs):
        names = [name for name, _ in pairs]
        if len(set(names)) != len(names):
            raise Refused("the file names something twice")
        return dict(pairs)

    try:
        return json.loads(text, parse_constant=no_constant, object_pairs_hook=no_twins)
    except (ValueError, RecursionError):
        raise Refused("the file is not JSON; was the run stopped?") from None


def slug(gpu):
    return re.sub(r"[^a-z0-9]+", "_", gpu.lower()).strip("_")


def shape_of(row):
    return row["batch"], row["context"], row["q_heads"], row["kv_heads"], row["query_tokens"]


def keys_of(value, required, optional, what):
    if not isinstance(value, dict):
        raise Refused(f"{what} is not an object")
    missing = required - value.keys()
    if missing:
        raise Refused(f"{what} lacks {', '.join(sorted(missing))}")
    if value.keys() - required - optional:
        raise Refused(f"{what} has something that is not known")


def text(value, form, what):
    if not isinstance(value, str) or len(value) > 4000 or not re.fullmatch(form, value):
        raise Refused(f"{what} is not a name of the usual form")


def number(value, low, high, what, whole=False):
    kinds = int if whole else (int, float)
    # What is not a number is not between any two.
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        raise Refused(f"{what} is not a number between {low:g} and {high:g}")


def near(a, b, share, atom=0.0):
    return abs(a - b) <= share * abs(b) + atom


def check_row_form(row):
    keys_of(row, ROW_KEYS, MORE_ROW_KEYS, "a row")
    if row["case"] not in CASES:
        raise Refused("a row is of no known case")
    number(row["batch"], 1, 1 << 16, "batch", whole=True)
    number(row["context"], 1, 1 << 24, "context", whole=True)
    number(row["q_heads"], 0, 1 << 12, "q_heads", whole=True)
    number(row["kv_heads"], 1, 1 << 12, "kv_heads", whole=True)
    number(row["query_tokens"], 0, 1 << 24, "query_tokens", whole=True)
    text(row["store"], r"dense|paged|(packed|tokens) [0-9]{1,2}(\.[0-9]{1,2})?%", "store")
    text(row["peer"], r"[a-z][a-z0-9 ._-]{0,31}", "peer")
    number(row["kv_bytes_ratio"], 1e-4, 2, "kv_bytes_ratio")
    number(row["microseconds"], 1e-3, 1e9, "microseconds")
    if "mask" in row:
        text(row["mask"], "none|lower right|tensor|block", "mask")
    if "kernel" in row:
        text(row["kernel"], r"[\x20-\x7e]*", "kernel")


def check_rates(row, copy_rate):
    """A rate and what it is of a copy, which prefills do not have."""
    if row["case"].startswith("prefill"):
        if row["bytes_per_second"] is not None or row["copy_fraction"] is not None:
            raise Refused("a prefill has a rate of bytes")
        if "peak_bytes" not in row:
            raise Refused("a prefill lacks peak_bytes")
        number(row["peak_bytes"], 1, 1e15, "peak_bytes")
        return
    number(row["bytes_per_second"], 1, 1e15, "bytes_per_second")
    number(row["copy_fraction"], 0, 100, "copy_fraction")
    if not near(row["copy_fraction"], row["bytes_per_second"] / copy_rate, 0.01, 0.001):
        raise Refused("copy_fraction is not bytes_per_second over that of a copy")


def check_bytes(row):
    """A step of decoding reads its store once."""
    if row["store"] == "dense" and row["kv_bytes_ratio"] != 1:
        raise Refused("a dense store has another size than itself")
    if row["case"] != "decode":
        return
    dense = 4 * HEAD_SIZE * row["batch"] * row["context"] * row["kv_heads"]
    read = row["bytes_per_second"] * row["microseconds"] * 1e-6
    if not near(read, dense * row["kv_bytes_ratio"], 0.02):
        raise Refused("bytes_per_second and microseconds are not of a store of this size")


def check_run(run):
    keys_of(run, RUN_KEYS, MORE_RUN_KEYS, "a run")
    text(run["gpu"], r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}", "gpu")
    number(run["copy_bytes_per_second"], 1e6, 1e15, "copy_bytes_per_second")
    if "read_bytes_per_second" in run:
        number(run["read_bytes_per_second"], 1e6, 1e15, "read_bytes_per_second")
    if "driver" in run:
        number(run["driver"], 1, 1 << 20, "driver", whole=True)
    if "torch" in run:
        text(run["torch"], r"[A-Za-z0-9.+_-]{1,64}", "torch")
    if not isinstance(run["rows"], list) or not isinstance(run.get("refused", []), list):
        raise Refused("rows are not a list")
    if not run["rows"] and not run.get("refused"):
        raise Refused("a run has no rows")
    for row in run["rows"]:
        check_row_form(row)
        check_rates(row, run["copy_bytes_per_second"])
        check_bytes(row)


def check_complete(rows):
    """Nothing is there twice, and what a ratio is taken over is there."""
    seen = [(r["peer"], r["case"], r["store"], shape_of(r)) for r in rows]
    if len(set(seen)) != len(seen):
        raise Refused("a case is there twice")
    for peer, case, store, shape in seen:
        if peer == "rota" and case == "decode" and ("rota", "decode", "dense", shape) not in seen:
            raise Refused(f"decoding over {store} has no dense store beside it (batch {shape[0]}, context {shape[1]})")
        if case == "prefill and compress" and (peer, "prefill", "dense", shape) not in seen:
            raise Refused(f"compression has no prefill beside it (context {shape[1]})")


def check_steps(steps):
    if not isinstance(steps, list) or len(steps) > MOST_STEPS:
        raise Refused(f"steps are not a list of at most {MOST_STEPS}")
    for step in steps:
        keys_of(step, STEP_KEYS, set(), "a step")
        text(step["name"], r"[a-z][a-z0-9_/]{0,63}", "a step's name")
        text(step["result"], STEP_RESULTS, "a step's result")
        number(step["seconds"], 0, 1 << 20, "a step's seconds", whole=True)
        text(step["words"], r"[A-Za-z0-9 .,:;/%()_+-]{0,200}", "a step's words")


def check_result(result):
    keys_of(result, {"gpu", "runs"}, {"revision", "steps"}, "the result")
    if "revision" in result:
        text(result["revision"], r"[A-Za-z0-9._-]{1,64}", "revision")
    check_steps(result.get("steps", []))
    if not isinstance(result["runs"], list) or not result["runs"]:
        raise Refused("the result has no runs")
    for run in result["runs"]:
        check_run(run)
        if run["gpu"] != result["gpu"]:
            raise Refused("the runs are of different GPUs")
    rows = [row for run in result["runs"] for row in run["rows"]]
    if not 0 < len(rows) <= MOST_ROWS:
        raise Refused(f"the result has {len(rows)} rows; 1 to {MOST_ROWS} can be")
    check_complete(rows)

#!/usr/bin/env python3
"""tools_test.py: what the tools around the benchmarks say, and what they refuse.

All figures here are made up, in a temporary folder; neither PyTorch nor matplotlib is needed.
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

BENCH = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, BENCH)
sys.dont_write_bytecode = True
from report_goals import GOALS, verdicts  # noqa: E402
from result_file import line_name  # noqa: E402

SUFFIX = "/iterations:25/manual_time"
DENSE = "attend/decode/dense/bf16/g4/q1/threads:2"
PACKED = "attend/decode/packed37/bf16/g4/q1/threads:2"


def row(name, ms=4.0, **counters):
    return {"name": name + SUFFIX, "run_type": "iteration", "real_time": ms, "time_unit": "ms", "cpu_time": 1.0} | counters


def result(*rows, **context):
    return {"context": {"cpu": "Test(R) CPU 7 @ 2.0GHz", "date": "2000-12-31T00:00:00+00:00", "host_name": "secret"} | context,
            "benchmarks": list(rows)}


def good():
    return result(row(DENSE, read_fraction=0.9, time_ratio=1.0, byte_ratio=1.0, store_bytes=67e6, fma_fraction=0.2, seconds=3.9e-3),
                  row(PACKED, 1.6, read_fraction=0.8, time_ratio=0.44, byte_ratio=0.4, store_bytes=26e6),
                  row("lora/forward/threads:1", 2.0, eigen_us=3.0))


class Tools(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def put(self, name, content):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(content if isinstance(content, str) else json.dumps(content))
        return self.path(name)

    def text(self, *parts):
        with open(self.path(*parts), encoding="utf-8") as file:
            return file.read()

    def call(self, tool, *arguments):
        command = [sys.executable, "-B", os.path.join(BENCH, tool), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def refuses(self, tool, words, *arguments):
        done = self.call(tool, *arguments)
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn(words, done.stderr)
        self.assertNotIn("Traceback", done.stderr)


class Compare(Tools):
    def compare(self, old, new, *more):
        return self.call("compare.py", self.put("old.json", old), self.put("new.json", new), *more)

    def changed(self, index, *more, **counters):
        new = good()
        new["benchmarks"][index] |= counters
        return self.compare(good(), new, *more)

    def test_the_same_passes(self):
        done = self.compare(good(), good())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("3 lines compared, 0 worse", done.stdout)

    def test_worse_and_better_of_either_direction(self):
        for counters, code in (({"time_ratio": 0.6}, 1), ({"time_ratio": 0.3}, 0),
                               ({"read_fraction": 0.6}, 1), ({"read_fraction": 0.95}, 0),
                               ({"time_ratio": 0.47, "read_fraction": 0.75}, 0)):
            with self.subTest(counters):
                self.assertEqual(self.changed(1, **counters).returncode, code)

    def test_the_tolerance_is_asked_for(self):
        self.assertEqual(self.changed(1, "--tolerance", "0.05", time_ratio=0.47).returncode, 1)
        self.assertEqual(self.changed(1, "--tolerance", "0.5", time_ratio=0.6).returncode, 0)

    def test_time_counts_only_where_there_is_no_ratio(self):
        self.assertEqual(self.changed(1, real_time=100.0).returncode, 0)
        slow = self.changed(2, real_time=100.0)
        self.assertEqual(slow.returncode, 1)
        self.assertRegex(slow.stdout, r"lora/forward/threads:1 +real_time .*WORSE")
        self.assertEqual(self.changed(2, real_time=2000.0, time_unit="us").returncode, 0)

    def test_one_counter(self):
        self.assertEqual(self.changed(1, "--counter", "time_ratio", read_fraction=0.1).returncode, 0)
        self.assertEqual(self.changed(1, "--counter", "read_fraction", read_fraction=0.1).returncode, 1)
        self.assertEqual(self.changed(1, "--counter", "real_time", real_time=3.0).returncode, 1)

    def test_medians_of_repetitions(self):
        new = good()
        for ratio in (0.44, 5.0):
            new["benchmarks"].append(row(PACKED, read_fraction=0.8, time_ratio=ratio))
        new["benchmarks"].append(row(PACKED, time_ratio=9.0) | {"run_type": "aggregate"})
        self.assertEqual(self.compare(good(), new).returncode, 0)

    def test_a_line_that_failed_counts(self):
        new = good()
        new["benchmarks"][1] = {"name": PACKED + SUFFIX, "error_occurred": True, "error_message": "differs from the oracle"}
        done = self.compare(good(), new)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"FAILED {PACKED}: differs from the oracle", done.stdout)

    def test_probes_are_not_judged(self):
        old, new = (result(row("probe/read/threads:1", ms), row(DENSE, read_fraction=0.9)) for ms in (1.0, 9.0))
        self.assertEqual(self.compare(old, new).returncode, 0)

    def test_bad_input(self):
        fine = self.put("fine.json", good())
        self.refuses("compare.py", "cannot be read", fine, self.path("nowhere.json"))
        self.refuses("compare.py", "is not JSON", fine, self.put("half.json", json.dumps(good())[:200]))
        self.refuses("compare.py", "not a result", fine, self.put("other.json", "[1, 2]"))
        self.refuses("compare.py", "no common line", fine, self.put("apart.json", result(row("other"))))
        self.refuses("compare.py", "no common line", fine, fine, "--counter", "nothing")
        self.refuses("compare.py", "no measurement", fine, self.put("zero.json", result(row(DENSE, read_fraction=0.0))))
        self.refuses("compare.py", "--tolerance", fine, fine, "--tolerance", "-1")


class Merge(Tools):
    def test_the_last_one_wins_and_the_first_says_the_machine(self):
        a = self.put("a.json", good())
        b = self.put("b.json", {"benchmarks": [row(PACKED, time_ratio=0.5), row("compile_time/umbrella")]})
        self.assertEqual(self.call("merge.py", a, a, b).returncode, 0)
        merged = json.loads(self.text("a.json"))
        self.assertEqual(merged["context"], good()["context"])
        self.assertEqual([line_name(r["name"]) for r in merged["benchmarks"]],
                         [DENSE, PACKED, "lora/forward/threads:1", "compile_time/umbrella"])
        self.assertEqual(merged["benchmarks"][1]["time_ratio"], 0.5)


class Goals(unittest.TestCase):
    def reached(self, line, **counters):
        return [v.reached for v in verdicts({line: counters}) if v.line == line]

    def test_bounds_from_below_and_above(self):
        self.assertEqual(self.reached(DENSE, read_fraction=0.85), [True])
        self.assertEqual(self.reached(DENSE, read_fraction=0.849), [False])
        self.assertEqual(self.reached(DENSE.replace("bf16", "f32"), read_fraction=0.89), [False])
        self.assertEqual(self.reached(PACKED, time_ratio=0.43, byte_ratio=0.4), [True])
        self.assertEqual(self.reached(PACKED, time_ratio=0.44, byte_ratio=0.4), [False])

    def test_either_of_two_ways(self):
        line = DENSE.replace("q1", "q16")
        self.assertEqual(self.reached(line, read_fraction=0.1, fma_fraction=0.65), [True])
        self.assertEqual(self.reached(line, read_fraction=0.5, fma_fraction=0.1), [True])
        self.assertEqual(self.reached(line, read_fraction=0.4, fma_fraction=0.5), [False])
        self.assertEqual(self.reached(line, read_fraction=0.1, fma_fraction=0.65, unit_fraction=0.2), [False])
        self.assertEqual(self.reached("select/radix/threads:2", copy_fraction=0.5), [True])
        self.assertEqual(self.reached("pack/bf16/threads:2", read_fraction=0.4), [False])

    def test_peers(self):
        self.assertEqual(self.reached(DENSE, speedup=2.0), [True])
        self.assertEqual(self.reached(PACKED, speedup=4.9), [False])

    def test_lines_that_no_goal_is_about(self):
        for line in (DENSE.replace("threads:2", "threads:1"), DENSE + "4", "attend/prefix/dense/bf16/g4/q128/threads:2", "probe/read/threads:2"):
            self.assertEqual(self.reached(line, read_fraction=0.1), [], line)

    def test_what_was_not_measured_is_neither(self):
        found = verdicts({})
        self.assertEqual([v.words for v in found], [goal.words for goal in GOALS])
        self.assertEqual({v.reached for v in found}, {None})


class Report(Tools):
    def report(self, content, *more):
        return self.call("report.py", self.put("results.json", content), "--tables", "--out", self.path("out"), *more)

    def test_tables_goals_and_data(self):
        failed = row("select/x/threads:1") | {"error_occurred": True, "error_message": "differs"}
        peers = result(row(PACKED, seconds=1e-3, speedup=5.5, speedup_low=5.0, speedup_high=6.0), torch="1.2", rounds=3)
        content = good()
        content["benchmarks"].append(failed)
        done = self.report(content, "--peers", self.put("peers.json", peers))
        self.assertEqual(done.returncode, 0, done.stderr)
        text = self.text("out", "test_7", "report.md")
        self.assertIn(f"| `{DENSE}` | 67.0 | 1.000 | 1.000 | 0.900 | 0.200 | 3.900 |", text)
        self.assertIn(f"| `{PACKED}` | 26.0 | 0.400 | 0.440 | 0.800 | - | 1.600 |", text)
        self.assertIn("| `lora/forward/threads:1` | 2.000 | eigen_us 3 |", text)
        self.assertIn(f"| `{DENSE}` | 0.900 of the read probe | reached |", text)
        self.assertIn(f"| `{PACKED}` | 1.100 time over bytes | **missed** |", text)
        self.assertIn(f"| `{PACKED}` | 5.500 times faster | reached |", text)
        self.assertIn("\n2 of 3 reached.\n", text)
        self.assertIn(f"| `{PACKED}` | 1.000 | 5.50 | 5.00 to 6.00 |", text)
        self.assertIn("- `select/x/threads:1`: differs", text)
        self.assertIn("2000-12-31", text)
        self.assertNotIn(".svg", text)
        kept = json.loads(self.text("out", "test_7", "results.json"))
        self.assertEqual(kept["benchmarks"], content["benchmarks"])
        self.assertNotIn("secret", json.dumps(kept) + self.text("out", "test_7", "peers.json"))

    def test_a_name_of_ones_own(self):
        self.assertEqual(self.report(good(), "--name", "My CPU").returncode, 0)
        self.assertTrue(os.path.exists(self.path("out", "my", "report.md")))

    def test_bad_input(self):
        fine = self.put("fine.json", good())
        self.refuses("report.py", "cannot be read", self.path("nowhere.json"), "--tables")
        self.refuses("report.py", "different machines", fine, "--tables", "--out", self.path("out"),
                     "--peers", self.put("peers.json", result(cpu="Other")))
        self.assertFalse(os.path.exists(self.path("out")))


class Peers(Tools):
    def dry_run(self, *more):
        done = self.call("peers/torch_sdpa.py", "--dry-run", "--out", self.path("torch.json"), *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(self.text("torch.json"))

    def test_the_lines_of_a_dry_run(self):
        rows = {r["name"]: r for r in self.dry_run()["benchmarks"]}
        self.assertEqual(len([name for name in rows if "/decode/" in name]), 3 * 3 * 3 * 2)
        line = rows["peer/torch_sdpa/decode/dense/f32/g8/q16/threads:1"]
        self.assertEqual(line["store_bytes"], 2 * 8 * 16384 * 128 * 4)
        self.assertEqual(line["flops"], 4 * 8 * 16 * 8 * 16384 * 128)
        self.assertGreaterEqual(line["copies"] * line["store_bytes"], 2 << 30)
        self.assertNotIn("real_time", line)  # nothing was measured
        self.assertIn("peer/torch_sdpa/prefix/dense/bf16/g4/q512/threads:2", rows)

    def test_a_filter(self):
        rows = self.dry_run("--filter", "/bf16/g4/q1/threads:2$")["benchmarks"]
        self.assertEqual([r["name"] for r in rows], ["peer/torch_sdpa/decode/dense/bf16/g4/q1/threads:2"])
        self.refuses("peers/torch_sdpa.py", "no line", "--dry-run", "--out", self.path("x.json"), "--filter", "nothing")

    def round(self, i, ours, theirs):
        peer = {"name": "peer/torch_sdpa/decode/dense/bf16/g4/q1/threads:2", "seconds": theirs}
        return (self.put(f"ours_{i}.json", result(row(DENSE, seconds=ours), row(PACKED, seconds=ours / 2), row("probe/read/threads:2"))),
                self.put(f"torch_{i}.json", {"context": {"torch": "1.2"}, "benchmarks": [peer]}))

    def test_rounds_are_joined(self):
        rounds = [self.round(1, 1.0, 2.0), self.round(2, 2.0, 6.0), self.round(3, 1.0, 9.0)]
        ours, theirs = zip(*rounds)
        done = self.call("peers/join.py", "--out", self.path("peers.json"), "--ours", *ours, "--peer", *theirs)
        self.assertEqual(done.returncode, 0, done.stderr)
        joined = json.loads(self.text("peers.json"))
        rows = {line_name(r["name"]): r for r in joined["benchmarks"]}
        self.assertEqual((rows[DENSE]["speedup"], rows[DENSE]["speedup_low"], rows[DENSE]["speedup_high"]), (3.0, 2.0, 9.0))
        self.assertEqual((rows[PACKED]["speedup"], rows[PACKED]["seconds"]), (6.0, 0.5))
        self.assertEqual(rows["peer/torch_sdpa/decode/dense/bf16/g4/q1/threads:2"]["seconds"], 6.0)
        self.assertEqual((joined["context"]["torch"], joined["context"]["rounds"]), ("1.2", 3))
        self.refuses("peers/join.py", "a round has", "--out", self.path("x.json"), "--ours", *ours, "--peer", theirs[0])
        failed = self.put("failed.json", {"benchmarks": [{"name": "peer/x", "error_occurred": True, "error_message": "wrong"}]})
        self.refuses("peers/join.py", "failed: wrong", "--out", self.path("x.json"), "--ours", ours[0], "--peer", failed)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""report_cuda_test.py REPORT: what bench/report_cuda.py writes, and what it refuses.

All numbers here are made up, in a temporary folder.
"""

import copy
import json
import os
import subprocess
import sys
import tempfile
import unittest
import xml.dom.minidom

REPORT = sys.argv.pop(1) if len(sys.argv) > 1 else "bench/report_cuda.py"
COPY = 4.0e12
NAME = "test_gpu_1-2000-12-31.json"


def decode_row(store="dense", ratio=1.0, us=100.0, **more):
    row = {"case": "decode", "batch": 1, "context": 32768, "q_heads": 32, "kv_heads": 8, "query_tokens": 1,
           "store": store, "kv_bytes_ratio": ratio, "microseconds": us, "peer": "rota"} | more
    rate = 4 * 128 * row["batch"] * row["context"] * row["kv_heads"] * ratio / us * 1e6
    return {"bytes_per_second": rate, "copy_fraction": round(rate / COPY, 3)} | row


def prefill_row(case, store, ratio, us):
    return {"case": case, "batch": 1, "context": 8192, "q_heads": 32, "kv_heads": 8, "query_tokens": 8192,
            "store": store, "kv_bytes_ratio": ratio, "microseconds": us, "bytes_per_second": None,
            "copy_fraction": None, "peak_bytes": 1000000000, "peer": "rota"}


def run_of(*rows):
    return {"gpu": "Test GPU-1", "driver": 13000, "copy_bytes_per_second": COPY, "rows": list(rows)}


def good():
    select = decode_row("packed 50%", 0.51, 80.0) | {"case": "select", "q_heads": 0, "query_tokens": 0}
    peer = decode_row(us=90.0, peer="sdpa flash", kernel="void flash::kernel<int>(a|b)`")
    return {"gpu": "Test GPU-1", "runs": [
        run_of(decode_row(), decode_row("packed 50%", 0.51, 60.0), decode_row("tokens 50%", 0.5, 61.0)),
        run_of(select), run_of(peer),
        run_of(prefill_row("prefill", "dense", 1, 900.0), prefill_row("prefill and compress", "packed 25%", 0.26, 990.0))]}


class Report(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, *parts):
        return os.path.join(self.folder.name, *parts)

    def call(self, *arguments):
        return subprocess.run([sys.executable, "-B", REPORT, *arguments], capture_output=True, text=True, check=False)

    def put(self, content, name=NAME):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(content if isinstance(content, str) else json.dumps(content))
        return self.path(name)

    def report(self, content, name=NAME):
        return self.call(self.put(content, name), "--out", self.path("out"))

    def refuses(self, content, words, name=NAME):
        done = self.report(content, name)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"\Areport_cuda: .*\n\Z")  # a sentence, no trace
        self.assertIn(words, done.stderr)
        self.assertFalse(os.path.exists(self.path("out")))

    def refuses_row(self, words, **change):
        spoiled = good()
        spoiled["runs"][0]["rows"][1] |= change
        self.refuses(spoiled, words)

    def test_writes_a_table_and_a_picture(self):
        done = self.report(good())
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(self.path("out", "cuda_test_gpu_1.md"), encoding="utf-8") as file:
            text = file.read()
        self.assertIn("| 1 | 32768 | 32/8 | 1 | rota | packed 50% | 51.0% | 60.0 | 0.600 |", text)
        self.assertIn("| sdpa flash (`void flash::kernel`) | dense | 100.0% | 90.0 | 0.900 |", text)
        self.assertIn("| prefill and compress | 8192 | packed 25% | 26.0% | 0.99 | 1.1000 | 1.000 | 1.0000 |", text)
        self.assertIn("2000-12-31", text)
        picture = xml.dom.minidom.parse(self.path("out", "cuda_test_gpu_1.svg"))
        # A mark for each store, the dense one for groups and for tokens, one for the legend.
        self.assertEqual(len(picture.getElementsByTagName("circle")), 5)

    def test_joins_runs(self):
        runs = good()["runs"]
        parts = [self.put(run, f"{i}.json") for i, run in enumerate(runs)]
        done = self.call("--join", self.path(NAME), *parts)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(self.path(NAME), encoding="utf-8") as file:
            self.assertEqual(json.load(file), good())
        runs[1]["gpu"] = "Other"
        parts[1] = self.put(runs[1], "1.json")
        self.assertIn("different GPUs", self.call("--join", self.path(NAME), *parts).stderr)

    def test_refuses_what_is_not_whole(self):
        self.refuses(json.dumps(good())[:-40], "not JSON")
        self.refuses("", "not JSON")
        self.refuses("[" * 100000, "not JSON")
        self.refuses([], "not an object")
        self.refuses({"gpu": "Test GPU-1", "runs": []}, "no runs")
        spoiled = good()
        del spoiled["runs"][0]["rows"][0]
        self.refuses(spoiled, "no dense store")
        spoiled = good()
        del spoiled["runs"][3]["rows"][0]
        self.refuses(spoiled, "no prefill")
        for key in decode_row():
            spoiled = good()
            del spoiled["runs"][0]["rows"][1][key]
            self.refuses(spoiled, key)

    def test_refuses_what_contradicts_itself(self):
        self.refuses(good(), "another GPU", "other_gpu-2000-12-31.json")
        self.refuses(good(), "GPU-DATE", "test_gpu_1-2000-13-31.json")
        self.refuses_row("not of a store of this size", microseconds=30.0)
        self.refuses_row("over that of a copy", copy_fraction=0.9)
        self.refuses_row("another size than itself", store="dense")
        spoiled = good()
        spoiled["runs"].append(copy.deepcopy(spoiled["runs"][0]))
        self.refuses(spoiled, "there twice")
        self.refuses('{"gpu": "Test GPU-1", "gpu": "B", "runs": []}', "twice")

    def test_refuses_hostile_names_and_numbers(self):
        self.refuses_row("store", store="dense](javascript:alert(1))")
        self.refuses_row("store", store="packed \u0665%")
        self.refuses_row("peer", peer="<script>")
        self.refuses_row("kernel", kernel="a\nb")
        self.refuses_row("mask", mask="a|b")
        self.refuses_row("no known case", case=["decode"])
        self.refuses_row("not known", note="x")
        for value in (-1.0, 0, True, "60", None, 10**400, []):
            self.refuses_row("microseconds", microseconds=value)
        self.refuses_row("batch", batch=1.5)
        self.refuses(json.dumps(good()).replace("60.0", "NaN"), "NaN")
        self.refuses(json.dumps(good()).replace("60.0", "1e999"), "microseconds")
        for key, value in (("revision", "a b"), ("steps", {}), ("steps", [{"name": "smoke"}])):
            self.refuses(good() | {key: value}, key.removesuffix("s"))
        spoiled = good()
        spoiled["gpu"] = spoiled["runs"][0]["gpu"] = '"><svg'
        self.refuses(spoiled, "gpu")
        spoiled = good()
        spoiled["gpu"] = {}
        self.refuses(spoiled, "different GPUs")


if __name__ == "__main__":
    unittest.main()

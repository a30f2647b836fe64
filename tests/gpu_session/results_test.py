#!/usr/bin/env python3
"""results_test.py: what bench/gpu_results.py makes of what a session brought back, and what it refuses.

The numbers of sample/ are made up.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.dom.minidom

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.join(HERE, "..", "..", "bench", "gpu_results.py")
RESULT = "made_up_gpu_1-2000-12-31.json"


class Results(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        shutil.copytree(os.path.join(HERE, "sample"), self.path("back"))

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def text(self, *parts):
        with open(self.path(*parts), encoding="utf-8") as file:
            return file.read()

    def put(self, name, content):
        with open(self.path("back", name), "w", encoding="utf-8") as file:
            file.write(content)

    def collect(self):
        command = [sys.executable, "-B", PROGRAM, self.path("back"), "--results", self.path("results"), "--pages", self.path("pages")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def refuses(self, words):
        done = self.collect()
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertRegex(done.stderr, r"\Agpu_results: .*\n\Z")  # a sentence, no trace
        self.assertIn(words, done.stderr)
        self.assertFalse(os.path.exists(self.path("pages")))

    def test_a_result_and_a_page(self):
        done = self.collect()
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads(self.text("results", RESULT))
        self.assertEqual(result["gpu"], "Made-up GPU 1")
        self.assertEqual(result["revision"], "made-up")
        self.assertEqual(len(result["steps"]), 8)
        page = self.text("pages", "cuda_made_up_gpu_1.md")
        for line in ("| 1 | 32768 | 32/8 | 1 | rota | packed 37.5% | 38.2% | 17.3 | 0.429 | 0.744 | 0.676 |",
                     "| 8 | 8192 | 32/8 | 1 | sdpa flash (`void flash::made_up_kernel`) | dense | 100.0% | 99.0 | 1.276 | 0.695 | - |",
                     "| test/graph_test | failed | 1 | doctest test cases: 6 5 passed 1 failed 0 skipped |",
                     "| synccheck/pack_test | skipped | 0 | needs 10 s, 4 s are left |",
                     "Of revision `made-up`.", "Peers refused 1 cases"):
            self.assertIn(line, page)
        xml.dom.minidom.parse(self.path("pages", "cuda_made_up_gpu_1.svg"))

    def test_what_two_runs_measured_is_taken_from_the_longer_one(self):
        self.assertEqual(self.collect().returncode, 0)
        rows = [row for run in json.loads(self.text("results", RESULT))["runs"] for row in run["rows"]]
        dense = [r for r in rows if r["peer"] == "rota" and r["store"] == "dense" and r["case"] == "decode" and r["batch"] == 1]
        self.assertEqual([r["microseconds"] for r in dense], [40.28])  # decode.json says 41.28

    def test_a_session_that_ended_early(self):
        for name in ("decode_all.json", "select_pack.json", "compress_prefill.json", "torch_decode.json"):
            os.remove(self.path("back", name))
        empty = json.loads(self.text("back", "decode.json")) | {"rows": []}
        self.put("decode_all.json", json.dumps(empty))
        done = self.collect()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("decode_all.json has no rows: left out", done.stdout)
        self.assertIn("| 8 | 8192 | 32/8 | 1 | rota | paged |", self.text("pages", "cuda_made_up_gpu_1.md"))

    def test_refuses_what_is_not_a_session(self):
        good = self.text("back", "steps.tsv")
        self.put("steps.tsv", good.replace("# revision\tmade-up\n", ""))
        self.refuses("# revision")
        self.put("steps.tsv", good + "decode\tok\n")
        self.refuses("line 11")
        self.put("steps.tsv", good.replace("2000-12-31", "../../somewhere"))
        self.refuses("GPU-DATE")
        self.put("steps.tsv", good.replace("\tok\t", "\tfine\t"))
        self.refuses("result")
        self.put("steps.tsv", good.replace("7 7 passed", "<script>"))
        self.refuses("words")
        os.remove(self.path("back", "steps.tsv"))
        self.refuses("cannot be read")

    def test_refuses_measurements_that_are_none(self):
        good = self.text("back", "decode.json")
        self.put("decode.json", good[:-20])
        self.refuses("not JSON")
        self.put("decode.json", good.replace("Made-up GPU 1", "Another"))
        self.refuses("different GPUs")
        self.put("decode.json", good.replace('"driver": 13000', '"driver": "13"'))
        self.refuses("driver")
        for name in os.listdir(self.path("back")):
            if name.endswith(".json"):
                os.remove(self.path("back", name))
        self.refuses("no measurements")


if __name__ == "__main__":
    unittest.main()

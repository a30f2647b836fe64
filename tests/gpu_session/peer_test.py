#!/usr/bin/env python3
"""peer_test.py: how bench/peers/torch_decode.py goes through its cases and what it writes, without PyTorch.

Only what touches tensors is left out: a made-up PyTorch counts, and rows are made up.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import types
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
BENCH = os.path.join(HERE, "..", "..", "bench")
sys.dont_write_bytecode = True
sys.path[:0] = [BENCH, os.path.join(BENCH, "peers")]
import torch_decode as peer  # noqa: E402
from report_cuda_form import check_run, parse  # noqa: E402

COPY = 4.0e12


def made_up_row(name, shape):
    batch, context, q_heads, kv_heads, queries = shape
    rate = 4 * batch * context * kv_heads * peer.D / 50.0 * 1e6
    return {"case": "decode", "batch": batch, "context": context, "q_heads": q_heads, "kv_heads": kv_heads,
            "query_tokens": queries, "store": "dense", "kv_bytes_ratio": 1.0, "microseconds": 50.0,
            "bytes_per_second": rate, "copy_fraction": rate / COPY, "peer": name, "mask": "none", "kernel": "made_up"}


class Cases(unittest.TestCase):
    def test_few_queries_come_first_and_a_shape_may_name_its_heads(self):
        found = list(peer.cases([(1, 1024), (8, 2048, 64)], [1, 4]))
        self.assertEqual(found, [(1, 1024, 32, 8, 1), (1, 1024, 64, 8, 1), (8, 2048, 64, 8, 1),
                                 (1, 1024, 32, 8, 4), (1, 1024, 64, 8, 4), (8, 2048, 64, 8, 4)])

    def test_what_is_not_a_shape(self):
        for text in ("", "1", "0,5", "1,-5", "1,2,3", "1,2,32,4", "a,b", "1,2,"):
            with self.assertRaises(argparse.ArgumentTypeError, msg=text):
                peer.shape_of(text)

    def test_a_graph_works_long_enough(self):
        self.assertEqual(peer.rounds_for(1, 2000), 1)
        self.assertEqual(peer.rounds_for(1, 70), 32)
        self.assertEqual(peer.rounds_for(32, 1990), 64)
        self.assertEqual(peer.rounds_for(1, 0), 2200)
        self.assertEqual(peer.rounds_for(4096, 5), 4096)


class Measure(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.out = os.path.join(folder.name, "torch.json")
        self.resets, self.seen = 0, []

        def reset():
            self.resets += 1

        def measure_first(name, run, shape, refused, *machine):
            if self.seen:  # the file of the rows before is whole
                self.seen.append(len(self.written()["rows"]) + len(self.written()["refused"]))
            self.seen = self.seen or [0]
            if name == "flex":
                refused.append({"peer": name, "shape": shape, "why": "made up"})
                return None
            return made_up_row(name, shape)

        device = types.SimpleNamespace(name="Made-up GPU 1", L2_cache_size=1)
        made_up = types.SimpleNamespace(_dynamo=types.SimpleNamespace(reset=reset), __version__="9.9.9",
                                        compile=lambda f, dynamic: f,
                                        cuda=types.SimpleNamespace(get_device_properties=lambda i: device))
        flex = types.ModuleType("torch.nn.attention.flex_attention")
        flex.create_block_mask = flex.flex_attention = None
        for name, value in (("torch", made_up), ("measure_first", measure_first), ("copy_bytes_per_second", lambda: COPY)):
            self.addCleanup(setattr, peer, name, getattr(peer, name))
            setattr(peer, name, value)
        names = ["torch", "torch.nn", "torch.nn.attention", "torch.nn.attention.flex_attention"]
        before = {name: sys.modules.get(name) for name in names}
        self.addCleanup(lambda: [sys.modules.pop(n) if m is None else sys.modules.update({n: m}) for n, m in before.items()])
        sys.modules.update({name: types.ModuleType(name) for name in names[:-1]} | {names[-1]: flex})

    def written(self):
        with open(self.out, encoding="utf-8") as file:
            return parse(file.read())

    def test_the_file_is_whole_after_each_case_and_compilers_start_anew_with_each_shape(self):
        shapes = [(1, 1024, 32), (2, 1024, 32), (4, 1024, 32)]
        peer.measure_all(types.SimpleNamespace(out=self.out, shape=shapes, queries=[1], peer=["sdpa flash", "flex"]))
        self.assertEqual(self.resets, 3)
        self.assertEqual(self.seen, [0, 1, 2, 3, 4, 5])
        check_run(self.written())
        self.assertEqual(len(self.written()["rows"]), 3)
        self.assertEqual(len(json.loads(json.dumps(self.written()))["refused"]), 3)


class WithoutPyTorch(unittest.TestCase):
    @unittest.skipIf(peer.torch is not None, "PyTorch is here")
    def test_a_sentence_says_so(self):
        done = subprocess.run([sys.executable, "-B", os.path.join(BENCH, "peers", "torch_decode.py")],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("PyTorch is not here", done.stdout)


if __name__ == "__main__":
    unittest.main()

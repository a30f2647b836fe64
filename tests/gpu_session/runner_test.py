#!/usr/bin/env python3
"""runner_test.py: what scripts/gpu_runner.sh does with steps that work, fail, hang and come too late.

Programs and tools are small scripts here; scripts/gpu_prove.py, which dry runs use, is tested on others.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = os.path.join(HERE, "..", "..", "scripts")

# Writes what its --out asks for, then says something.
MEASURES = """#!/bin/sh
while [ $# -gt 0 ]; do [ "$1" = --out ] && echo '{"rows": [1]}' >"$2"; shift; done
echo "a | <line> of $(basename "$0")"
"""
TESTS = """#!/bin/sh
case "$*" in
  *--list-test-cases*)
    printf '%s\\n' '<TestCase name="b" filename="tests/cuda/select_test.cpp"/>' \\
      '<TestCase name="a" filename="tests/cuda/attend_test.cpp"/>' '<TestCase name="c" filename="tests/cuda/select_test.cpp"/>' ;;
  *attend_test*) echo "[doctest] test cases: 7 | 7 passed"; echo "more" ;;
  *) echo "[doctest] test cases: 2 | 1 failed"; exit 1 ;;
esac
"""
# As profilers do: an option of its own, then the program.
TOOL = "#!/bin/sh\necho \"========= ERROR SUMMARY: 1 error\"; exit 9\n"
DATA_STEPS = ["machine", "smoke", "decode", "test/attend_test", "test/select_test", "decode_all", "select_pack",
              "compress_prefill", "torch", "ncu/packed", "ncu/dense"]
SANITIZED = [f"{tool}/{suite}" for tool in ("memcheck", "racecheck", "synccheck")
             for suite in ("attend_test", "select_test", "pack_test")]


class Runner(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        for name in ("carry/bin", "carry/peers", "tools", "out"):
            os.makedirs(self.path(name))
        shutil.copy(os.path.join(SCRIPTS, "gpu_runner.sh"), self.path("carry", "run.sh"))
        for name in ("decode", "decode_trapping", "select_pack", "compress_prefill"):
            self.program("carry/bin/" + name, MEASURES)
        self.program("carry/bin/test_cuda", TESTS)
        self.program("carry/peers/torch_decode.py", "print('PyTorch is not here')\n")
        self.program("tools/nvidia-smi", "#!/bin/sh\necho GPU\n")
        self.program("tools/ncu", "#!/bin/sh\necho profiled\n")
        self.program("tools/compute-sanitizer", TOOL)
        self.settings(600)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def program(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), 0o755)

    def settings(self, seconds):
        self.program("carry/settings.sh", f"seconds={seconds}\nrevision=abc\ncublas=libcublas.so.13\n")

    def run_steps(self, *steps, **more):
        environment = os.environ | {"OUT": self.path("out"), "PATH": self.path("tools") + ":" + os.environ["PATH"]} | more
        return subprocess.run([self.path("carry", "run.sh"), *steps], env=environment, capture_output=True, text=True, check=False)

    def table(self):
        with open(self.path("out", "steps.tsv"), encoding="utf-8") as file:
            return [line.split("\t") for line in file.read().splitlines() if not line.startswith("#")]

    def test_every_step_in_its_order_whatever_fails(self):
        done = self.run_steps()
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = {name: (result, words) for name, result, _, words in self.table()}
        self.assertEqual([row[0] for row in self.table()], DATA_STEPS + SANITIZED)
        self.assertEqual(rows["decode"][0], "ok")
        self.assertEqual(rows["smoke"][1].strip(), "a line of decode_trapping")  # no mark that a page takes for more
        self.assertEqual(rows["test/attend_test"][1].strip(), "doctest test cases: 7 7 passed")
        self.assertEqual(rows["test/select_test"][0], "failed")
        self.assertEqual(rows["torch"][1].strip(), "PyTorch is not here")
        self.assertEqual(rows["memcheck/attend_test"][0], "failed")
        self.assertEqual(rows["racecheck/attend_test"][0], "advisory")
        self.assertEqual(sorted(os.listdir(self.path("out"))),
                         ["compress_prefill.json", "decode.json", "decode_all.json", "log.txt", "select_pack.json", "steps.tsv"])

    def test_what_would_not_end_in_time_is_skipped_and_named(self):
        self.settings(30)
        done = self.run_steps()
        skipped = [row[0] for row in self.table() if row[1] == "skipped"]
        self.assertEqual(skipped, ["decode_all", "torch"])
        self.assertIn("run.sh decode_all torch\n", done.stdout)

    def test_a_step_that_hangs_is_stopped_and_its_results_are_kept(self):
        self.settings(15)
        self.program("carry/bin/select_pack", MEASURES + "sleep 60\n")
        done = self.run_steps("select_pack", "memcheck/pack_test")
        self.assertEqual([row[:2] for row in self.table()], [["select_pack", "stopped"], ["memcheck/pack_test", "skipped"]])
        with open(self.path("out", "select_pack.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file), {"rows": [1]})
        self.assertIn("run.sh memcheck/pack_test", done.stdout)

    def test_steps_that_are_asked_for(self):
        self.run_steps("select_pack", "synccheck/pack_test")
        self.assertEqual([row[0] for row in self.table()], ["select_pack", "synccheck/pack_test"])

    def test_tests_that_do_not_start_are_noticed(self):
        self.program("carry/bin/test_cuda", "#!/bin/sh\nexit 127\n")
        self.run_steps("machine")
        self.assertIn(["test/none", "failed"], [row[:2] for row in self.table()])

    def test_where_results_go_must_be_said(self):
        done = self.run_steps(OUT="")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("please set OUT", done.stderr)


class Session(unittest.TestCase):
    def refuses(self, words, *options):
        done = subprocess.run([os.path.join(SCRIPTS, "gpu_session.sh"), *options], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertRegex(done.stderr, r"\Agpu_session: .*\n\Z")
        self.assertIn(words, done.stderr)

    def test_options_that_cannot_be(self):
        self.refuses("no option '--minute'", "--minute", "15")
        self.refuses("--minutes needs a value", "--minutes")
        self.refuses("not '1.5'", "--megabytes", "1.5")
        self.refuses("less than a minute", "--minutes", "6")
        self.refuses("the runner writes 7 files", "--log-files", "6")

    def test_a_folder_that_is_too_large_names_its_largest_files(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, size in (("small", 1000), ("large", 1500000)):
                with open(os.path.join(folder, name), "wb") as file:
                    file.truncate(size)
            weigh = ["bash", "-c", f'. "{SCRIPTS}/gpu_build.sh"; check_size "$1" "$2"', "weigh", folder]
            self.assertEqual(subprocess.run([*weigh, "2"], capture_output=True, check=False).returncode, 0)
            done = subprocess.run([*weigh, "1"], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("1.5 MB large", done.stderr)
            self.assertIn("larger than --megabytes 1", done.stderr)


class Prove(unittest.TestCase):
    def prove(self, *command):
        return subprocess.run([sys.executable, "-B", os.path.join(SCRIPTS, "gpu_prove.py"), *command], capture_output=True, text=True, check=False)

    def refuses(self, words, *command):
        done = self.prove(*command)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertRegex(done.stderr, r"\Agpu_prove: .*\n\Z")
        self.assertIn(words, done.stderr)

    def test_a_peer_lists_its_cases(self):
        peer = os.path.join(HERE, "..", "..", "bench", "peers", "torch_decode.py")
        done = self.prove(sys.executable, peer, "--shape", "1,1024,32", "--queries", "1", "--peer", "flex")
        self.assertEqual(done.stdout, "options read, 1 cases\n", done.stderr)
        self.refuses("--peer", sys.executable, peer, "--peer", "nobody")

    def test_options_of_tools(self):
        listing = ("sh", "-c", "echo one")
        self.assertEqual(self.prove("compute-sanitizer", "--tool", "racecheck", *listing).returncode, 0)
        self.refuses("takes no --tool of 'raceczech'", "compute-sanitizer", "--tool", "raceczech", *listing)
        self.refuses("no option --toll", "compute-sanitizer", "--toll", "racecheck", *listing)
        self.refuses("no program", "compute-sanitizer", "--tool", "racecheck")
        self.refuses("no kernel of /bin/true", "ncu", "--kernel-name", "regex:attend_kernel", "/bin/true")

    def test_tests_that_this_program_was_built_without(self):
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "test_cuda")
            with open(program, "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\necho 'test cases passing the current filters: 0'\n")
            os.chmod(program, 0o755)
            self.refuses("has no test case", program, "--source-file=*/attend_test.cpp")
            os.environ["GPU_PROVE_SOURCES"] = os.path.join(HERE, "..", "cuda")
            self.addCleanup(os.environ.pop, "GPU_PROVE_SOURCES")
            done = self.prove(program, "--source-file=*/attend_test.cpp")
            self.assertIn("test cases are in the source", done.stdout, done.stderr)
            self.refuses("nowhere_test.cpp", program, "--source-file=*/nowhere_test.cpp")

    def test_a_program_without_cases(self):
        self.refuses("has no case", "true")
        self.refuses("ended with 1", "false")


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""gpu_prove.py COMMAND...: checks a step of gpu_runner.sh on a machine without a GPU, instead of running it.

  bin/PROGRAM          its own parser reads the options and lists at least one case (--list)
  bin/test_cuda        at least one test case passes the filters (--count); of a file that this program was
                       built without, at least one is in its source, below GPU_PROVE_SOURCES
  torch_decode.py      as a program; PyTorch is not needed to list
  ncu, compute-sanitizer
                       each option is one of their manuals', with a value where it takes one; a kernel's name is
                       that of a kernel of the program; then what they start, as above. They are not asked themselves
  nvidia-smi           nothing
"""

import os
import re
import subprocess
import sys

# Options that take a value, and those that take none, from the manuals of Nsight Compute and Compute Sanitizer.
NCU = {"--clock-control", "--set", "--kernel-name-base", "--kernel-name", "--launch-skip", "--launch-count"}, set()
SANITIZER = {"--tool", "--error-exitcode", "--report-api-errors"}, set()
VALUES = {
    "--clock-control": r"base|none", "--set": r"basic|detailed|full", "--kernel-name-base": r"function|demangled|mangled",
    "--kernel-name": r"regex:.+", "--launch-skip": r"\d+", "--launch-count": r"\d+", "--error-exitcode": r"[1-9]\d*",
    "--tool": r"memcheck|racecheck|initcheck|synccheck", "--report-api-errors": r"all|explicit|no",
}


class Wrong(Exception):
    """A sentence that says what."""


def output_of(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        said = (done.stderr + done.stdout).strip().splitlines() or ["nothing"]
        raise Wrong(f"{' '.join(command)} ended with {done.returncode} and said: {said[-1]}")
    return done.stdout


def split(command, options):
    """The options of a tool as a dictionary, and the command that it starts."""
    with_value, alone = options
    found, rest = {}, command[1:]
    while rest and rest[0].startswith("-"):
        name, _, value = rest.pop(0).partition("=")
        if name in alone:
            found[name] = ""
            continue
        if name not in with_value:
            raise Wrong(f"{command[0]} has no option {name} that this check knows")
        if not value:
            value = rest.pop(0) if rest else ""
        if not re.fullmatch(VALUES[name], value):
            raise Wrong(f"{command[0]} takes no {name} of {value!r}")
        found[name] = value
    if not rest:
        raise Wrong(f"{command[0]} has no program to start")
    return found, rest


def kernels_of(program):
    """Demangled names of the kernels that a program registers; stripping leaves them."""
    with open(program, "rb") as file:
        names = set(re.findall(rb"_Z[A-Za-z0-9_$.]{4,}", file.read()))
    plain = output_of(["c++filt", *sorted(name.decode() for name in names)])
    return [name for name in plain.splitlines() if "rota::cuda::entry<" in name]


def prove_ncu(command):
    options, rest = split(command, NCU)
    wanted = options["--kernel-name"].removeprefix("regex:")
    matching = {m.group(1) for m in (re.search(wanted, name) for name in kernels_of(rest[0])) if m}
    for kernel in ("attend", "merge"):
        if kernel not in matching:
            raise Wrong(f"no kernel of {rest[0]} has a name that {wanted} finds as {kernel}")
    return f"options known; finds {' and '.join(sorted(matching))} kernels; {prove(rest)}"


def prove_tests(command):
    counted = re.search(r"filters: (\d+)", output_of([*command, "--count"]))
    if counted and counted.group(1) != "0":
        return f"{counted.group(1)} test cases pass the filter"
    source = re.search(r"--source-file=\*/(\w+\.cpp)", " ".join(command))
    if source and "GPU_PROVE_SOURCES" in os.environ:
        with open(os.path.join(os.environ["GPU_PROVE_SOURCES"], source.group(1)), encoding="utf-8") as file:
            cases = len(re.findall(r"^TEST_CASE", file.read(), re.MULTILINE))
        if cases:
            return f"{cases} test cases are in the source, which was not compiled"
    raise Wrong(f"{' '.join(command)} has no test case")


def prove(command):
    """What was proved of a command, in words."""
    tool = command[0].rsplit("/", 1)[-1]
    if tool == "nvidia-smi":
        return "not proved: needs a GPU"
    if tool == "ncu":
        return prove_ncu(command)
    if tool == "compute-sanitizer":
        return "options known; " + prove(split(command, SANITIZER)[1])
    if tool == "test_cuda":
        return prove_tests(command)
    cases = output_of([*command, "--list"]).splitlines()
    if not cases:
        raise Wrong(f"{' '.join(command)} has no case")
    return f"options read, {len(cases)} cases"


def main():
    try:
        print(prove(sys.argv[1:]))
    except (Wrong, OSError, subprocess.TimeoutExpired) as why:
        print(f"gpu_prove: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

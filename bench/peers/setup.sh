#!/usr/bin/env bash
# setup.sh [plot]: a virtual environment of Python in build/peers with what peers are measured with
# (PyTorch: large) and what reports are drawn with; `plot`: only the latter (small). Where pip is set
# up with an index that has the build for CPUs alone, that is taken: its version ends in +cpu.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=bench/peers
pip=(build/peers/bin/python -m pip install --quiet --disable-pip-version-check)

[ -x build/peers/bin/python ] || python3 -m venv build/peers ||
  { echo "peers: python3 cannot make a virtual environment; Debian's package is python3-venv" && exit 1; }
"${pip[@]}" -r $here/requirements_plot.txt
[ "${1:-}" = plot ] && exit 0

"${pip[@]}" --no-index -r $here/requirements.txt 2>/dev/null && exit 0  # all there
echo "peers: installing PyTorch (several GB where only its build for GPUs is to be had)"
"${pip[@]}" -r <(sed 's/^torch==.*/&+cpu/' $here/requirements.txt) 2>/dev/null || "${pip[@]}" -r $here/requirements.txt

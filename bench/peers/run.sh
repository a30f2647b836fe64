#!/usr/bin/env bash
# run.sh: our attention and PyTorch's in turns, so that a machine that gets slower slows both; writes
# build/bench/peers.json. Needs build/release/bench/rota_bench and bench/peers/setup.sh.
#   SHAPES  regular expression of codec/gG/qN/threads:T to run. Default: what the goals are about.
#   STORES  ours to set beside the peer's dense one. Default: dense|packed37
#   ROUNDS  default 5
set -euo pipefail
cd "$(dirname "$0")/../.."
shapes=${SHAPES:-bf16/g4/q1/threads:[12]}
stores=${STORES:-dense|packed37}
rounds=${ROUNDS:-5}
out=build/bench/peers
rm -rf "$out" && mkdir -p "$out"

for ((i = 1; i <= rounds; i++)); do
  echo "round $i of $rounds"
  build/release/bench/rota_bench --benchmark_filter="^attend/(decode|prefix)/($stores)/($shapes)/" \
    --benchmark_out="$out/ours_$i.json" --benchmark_out_format=json
  build/peers/bin/python -B bench/peers/torch_sdpa.py --filter "/dense/($shapes)\$" --out "$out/torch_$i.json"
done
build/peers/bin/python -B bench/peers/join.py --out build/bench/peers.json \
  --ours "$out"/ours_*.json --peer "$out"/torch_*.json

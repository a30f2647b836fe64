# shellcheck shell=bash
# gpu_build.sh: how gpu_session.sh builds, lays out and weighs the folder to carry. Sourced there.
# shellcheck disable=SC2154  # arch, trap: gpu_session.sh's

fail() {
  echo "gpu_session: $*" >&2
  exit 1
}

jobs=${JOBS:-$(nproc)}
programs=(decode select_pack compress_prefill)
# Tests that a dry run compiles: these take seconds, most take minutes.
dry_tests=(tests/cuda/merge_test.cpp)

# compile SOURCE OBJECT FLAG...: one file, from ccache where it is there.
compile() {
  mkdir -p "$(dirname "$2")"
  ${ccache:-} nvcc "${flags[@]}" "${@:3}" -x cu -c "$1" -o "$2" ||
    { echo "gpu_session: $1 does not compile" >&2 && return 1; }
}

# compile_all FOLDER [FLAG...] < "SOURCE OBJECT [FLAG...]" lines
compile_all() {
  local line running=0 failed=0
  while read -r -a line; do
    if [ "$running" -ge "$jobs" ]; then wait -n || failed=1; else running=$((running + 1)); fi
    compile "${line[0]}" "$1/${line[1]}" "${@:2}" "${line[@]:2}" </dev/null &
  done
  while [ "$running" -gt 0 ]; do
    wait -n || failed=1
    running=$((running - 1))
  done
  [ $failed = 0 ] || fail "not everything compiles"
}

# link PROGRAM OBJECT...: against nothing that another machine may have in another version
link() {
  nvcc "${target[@]}" "${@:2}" --cudart static -Xcompiler -static-libstdc++,-static-libgcc -o "$1"
  strip "$1"
}

# build FOLDER TEST-SOURCE...: programs and these tests, to FOLDER/bin
build() {
  local folder=$1 program source objects=()
  shift
  ccache=$(command -v ccache || true)
  target=(-gencode "arch=${arch/sm_/compute_},code=$arch")
  if nvcc --help | grep -e --compress-mode >/dev/null; then target+=(--compress-mode=size); fi  # from CUDA 12.8 on
  flags=(-std=c++20 -O2 "${target[@]}" --Werror all-warnings "${trap[@]}" -I include -I tests)
  [ -z "${DOCTEST_DIR:-}" ] || flags+=(-isystem "$DOCTEST_DIR")
  {
    for source in "$@" tests/main.cpp; do echo "$source $(basename "$source").o"; done
    for program in "${programs[@]}"; do echo "bench/cuda/$program.cu $program.o"; done
    echo "bench/cuda/decode.cu decode_trapping.o -DROTA_CUDA_TRAP_WAITS"
  } | compile_all "$folder/obj"
  mkdir -p "$folder/bin"
  for source in "$@" tests/main.cpp; do objects+=("$folder/obj/$(basename "$source").o"); done
  link "$folder/bin/test_cuda" "${objects[@]}"
  for program in decode decode_trapping select_pack; do link "$folder/bin/$program" "$folder/obj/$program.o"; done
  link "$folder/bin/compress_prefill" "$folder/obj/compress_prefill.o" -lcublas
}

# lay_out FOLDER SECONDS: what is carried, from what was built beside it
lay_out() {
  local built=${1%/carry} revision
  revision=$(git describe --always --dirty 2>/dev/null || echo unknown)
  rm -rf "$1" && mkdir -p "$1/peers"
  cp -r "$built/bin" "$1/bin"
  cp scripts/gpu_runner.sh "$1/run.sh"
  cp bench/peers/torch_decode.py "$1/peers/"
  cat >"$1/settings.sh" <<EOF
seconds=$2
revision=$revision
cublas=$(ldd "$built/bin/compress_prefill" | sed -n 's/^[ \t]*\(libcublas\.so[.0-9]*\) .*/\1/p')
EOF
}

# check_size FOLDER MEGABYTES
check_size() {
  local bytes
  bytes=$(find "$1" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')
  echo "$1: $(awk "BEGIN { printf \"%.1f\", $bytes / 1e6 }") MB of $2"
  [ "$bytes" -le $(($2 * 1000000)) ] && return
  find "$1" -type f -printf '%s %P\n' | sort -rn | head -5 | awk '{ printf "  %.1f MB %s\n", $1 / 1e6, $2 }' >&2
  fail "the folder is larger than --megabytes $2; the largest files are named above"
}

say_what_is_proved() {
  local left
  left=$(($(find tests/cuda -name '*_test.cpp' | wc -l) - ${#dry_tests[@]}))
  cat <<EOF
==== dry run: good ====
proved: the benchmarks, as they are carried, and ${#dry_tests[@]} of the test files compile for $arch, link and start
  here; every step's options are read by the program that gets them and choose something; ncu's pattern
  finds the kernels it is for.
not proved: that anything is right or fast on a GPU, or ends in its time; that the other $left test files
  compile by nvcc (a session compiles them) and how large the folder is with them; ncu and
  compute-sanitizer, whose options are compared with their manuals'; PyTorch's part beyond its options.
EOF
}

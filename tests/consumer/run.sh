#!/usr/bin/env bash
# run.sh KIND SOURCE_DIR BUILD_DIR CXX: configures, builds and runs one consumer project of this
# folder against the library as its user would have it.
set -euo pipefail
kind=$1 source=$2 build=$3 cxx=$4

work=$build/consumer/$kind
rm -rf "$work" && mkdir -p "$work"
cmake --install "$build" --prefix "$work/prefix" >"$work/install.log"

unset CMAKE_GENERATOR CXXFLAGS  # nothing of ours but the library
cmake -S "$source/tests/consumer/$kind" -B "$work/build" -DCMAKE_CXX_COMPILER="$cxx" \
  -DCMAKE_PREFIX_PATH="$work/prefix" -DROTA_SOURCE="$source"
cmake --build "$work/build"
ctest --test-dir "$work/build" --output-on-failure --no-tests=error

#!/usr/bin/env bash
# Makes sure that what the build needs is here. As root on Debian it installs what is missing; else
# it prints the one line to run and fails. Arguments: extra needs, of: clang format lint portability.
set -euo pipefail

packages=()
# need PACKAGE COMMAND: PACKAGE is missing when COMMAND does not run
need() { command -v "$2" >/dev/null || packages+=("$1"); }
# need_header PACKAGE HEADER [FLAG]: the same for a library, asked of the compiler itself
need_header() {
  echo "#include <$2>" | g++ -std=c++20 -E -x c++ ${3:+"$3"} - >/dev/null 2>&1 || packages+=("$1")
}

need g++ g++
need cmake cmake
need make make
need ninja-build ninja
need ccache ccache
need_header libeigen3-dev Eigen/Core -I/usr/include/eigen3
need_header doctest-dev doctest/doctest.h
need_header libbenchmark-dev benchmark/benchmark.h
need_header nlohmann-json3-dev nlohmann/json.hpp
need_header libcli11-dev CLI/CLI.hpp
need_header libboost-context-dev boost/context/fiber.hpp
for extra in "$@"; do
  case $extra in
    lint) need clang-tidy clang-tidy && need clang clang++ ;;
    clang)
      need clang clang++
      echo 'int main() {}' | clang++ -fsanitize=address,undefined -x c++ - -o /dev/null 2>/dev/null ||
        packages+=(libclang-rt-14-dev)
      ;;
    format) need clang-format clang-format ;;
    portability) need g++-aarch64-linux-gnu aarch64-linux-gnu-g++ && need qemu-user qemu-aarch64 && need clang clang++ ;;
    *) echo "setup: unknown need $extra" && exit 2 ;;
  esac
done
[ ${#packages[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "setup: please install what Debian calls: ${packages[*]}"
  exit 1
elif [ "$(id -u)" -ne 0 ]; then
  echo "setup: some packages are missing. Please run"
  echo "  sudo apt-get update && sudo apt-get install -y ${packages[*]}"
  exit 1
fi
echo "setup: installing ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null

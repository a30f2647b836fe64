// What every fuzz target does: run, allow the one exception that means "refused", insist on the
// rest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/error.hpp"

namespace rota_fuzz {

/// Stops the program, so that the fuzzer keeps the input.
inline void require(bool holds, std::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

/// Whether f() refuses, in one printable line, as the engine promises. Any other exception leaves
/// the target, which the fuzzer takes for a crash.
template <class F>
bool refused(F&& f) {
  try {
    f();
    return false;
  } catch (const rota_lm::error& e) {
    const std::string_view line = e.what();
    require(!line.empty() && line.size() < 2000, "an error is one line of some length");
    for (const char c : line) require(c >= 0x20 && c < 0x7f, "an error is printable");
    return true;
  }
}

}  // namespace rota_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

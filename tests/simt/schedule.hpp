#pragma once

#include <cstdint>

namespace simt {

/// In what order the threads of a block run, and when their copies arrive. All of it follows from
/// the seed, so that a failure can be run again.
struct schedule {
  enum class order { random, first_warp_ahead, last_warp_ahead };

  order threads = order::random;
  bool late = false;  ///< copies arrive only when somebody waits for them, or nobody can run
  std::uint64_t state = 1;

  schedule() = default;
  /// Seeds 0, 1, 2 are the adversarial ones: a warp runs as far as it can, copies arrive late.
  explicit schedule(std::uint64_t seed) : state(seed * 0x9e3779b97f4a7c15u + 0x1234567u) {
    constexpr order orders[] = {order::first_warp_ahead, order::last_warp_ahead, order::random};
    if (seed < 3) {
      threads = orders[seed];
      late = true;
    }
  }

  /// A number below n (xorshift).
  std::uint64_t below(std::uint64_t n) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % n;
  }
  bool chance(unsigned one_in) { return below(one_in) == 0; }
};

}  // namespace simt

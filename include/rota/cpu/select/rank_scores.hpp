#pragma once

#include <algorithm>
#include <cstdint>

#include <rota/core/score_key.hpp>
#include <rota/core/workspace.hpp>
#include <rota/cpu/select/cut.hpp>

namespace rota::cpu::detail {

/// Scratch of one thread for the ranks of one layer.
struct rank_scratch {
  std::uint32_t* keys = nullptr;   ///< [items]
  std::uint32_t* spare = nullptr;  ///< [items]
  index_t* histogram = nullptr;    ///< [histogram_buckets]

  rank_scratch(carver& from, index_t items)
      : keys(from.take<std::uint32_t>(items)),
        spare(from.take<std::uint32_t>(items)),
        histogram(from.take<index_t>(histogram_buckets)) {}
};

/// Moves n keys to `to`, ordered by one digit; equal digits stay in their order.
inline void sort_by_digit(const std::uint32_t* from, std::uint32_t* to, index_t n, int shift,
                          index_t* starts) {
  constexpr std::uint32_t mask = static_cast<std::uint32_t>(histogram_buckets) - 1u;
  std::fill_n(starts, histogram_buckets, index_t{0});
  for (index_t i = 0; i < n; ++i) ++starts[from[i] >> shift & mask];
  index_t before = 0;
  for (index_t k = 0; k < histogram_buckets; ++k) {
    const index_t own = starts[k];
    starts[k] = before;
    before += own;
  }
  for (index_t i = 0; i < n; ++i) to[starts[from[i] >> shift & mask]++] = from[i];
}

/// Replaces scores by their ranks in [0, 1]; a lone score gets 0.5 and NaN stays. `for_each(f)`
/// calls f(float&) for each item of the layer.
template <class ForEach>
void rank_scores(const rank_scratch& s, ForEach&& for_each) {
  index_t n = 0;
  for_each([&](float& x) {
    if (x == x) s.keys[n++] = score_key(x);
  });
  sort_by_digit(s.keys, s.spare, n, 0, s.histogram);
  sort_by_digit(s.spare, s.keys, n, 11, s.histogram);
  sort_by_digit(s.keys, s.spare, n, 22, s.histogram);
  const std::uint32_t* const sorted = s.spare;
  const double others = n > 1 ? static_cast<double>(n - 1) : 1.0;
  for_each([&](float& x) {
    if (x != x) return;
    const auto [first, last] = std::equal_range(sorted, sorted + n, score_key(x));
    // Twice the rank is an integer: where it is exact in a double, so is the comparison of ranks.
    const index_t doubled = (first - sorted) + (last - sorted) - 1;
    x = n > 1 ? static_cast<float>(0.5 * static_cast<double>(doubled) / others) : 0.5f;
  });
}

}  // namespace rota::cpu::detail

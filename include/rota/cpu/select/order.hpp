#pragma once

#include <algorithm>
#include <cmath>

#include <rota/core/types.hpp>
#include <rota/cpu/simd/bits.hpp>

// The k-th largest of many keys, without sorting: a sample says between which two keys it must lie,
// and counting says whether it does. A wrong guess costs time, never the result.

namespace rota::cpu::inline ROTA_CPU_ISA::select_detail {

using key_type = std::int32_t;  ///< simd::signed_key() of a score

/// Samples, and lists that are searched bit by bit, are at most this long.
inline constexpr index_t most_samples = 8192;
inline constexpr index_t few_items = 4096;

/// The k-th largest of n keys, 1 <= k <= n: its bits, one after another.
inline key_type kth_largest(const key_type* keys, index_t n, index_t k) {
  std::int64_t low = simd::key_of_nan, high = simd::key_of_infinity;
  while (low < high) {
    const std::int64_t middle = low + (high - low + 1) / 2;
    if (simd::count_at_least(keys, n, static_cast<key_type>(middle)) >= k)
      low = middle;
    else
      high = middle - 1;
  }
  return static_cast<key_type>(low);
}

/// low <= key < high for the key that is looked for, or so we hope.
struct bracket {
  key_type low = simd::key_of_nan;
  key_type high = INT32_MAX;

  /// Around the k-th largest of n numbers, by a sample of them: 3.5 standard deviations to each
  /// side, which one sample in two thousand misses.
  static bracket around(const key_type* sample, index_t samples, index_t k, index_t n) {
    bracket b;
    const auto size = static_cast<double>(samples);
    const double share = static_cast<double>(k) / static_cast<double>(n);
    const double margin = 3.5 * std::sqrt(size * share * (1 - share)) + 1;
    const auto first = static_cast<index_t>(share * size - margin);
    const auto last = static_cast<index_t>(share * size + margin) + 1;
    if (first >= 1) b.high = kth_largest(sample, samples, first);
    if (last <= samples) b.low = kth_largest(sample, samples, last);
    return b;
  }
};

/// The same as kth_largest() for a longer list; a word of keys may be read behind its end. False
/// where the guess was wrong or `spare` [room + word_items] is too small.
inline bool kth_of_many(const key_type* keys, index_t n, index_t k, key_type* spare, index_t room,
                        key_type& kth) {
  if (n <= most_samples) {
    kth = kth_largest(keys, n, k);
    return true;
  }
  const index_t samples = std::min(room, few_items);
  for (index_t i = 0; i < samples; ++i) spare[i] = keys[i * (n / samples)];
  const bracket guess = bracket::around(spare, samples, k, n);
  index_t from_high = 0, inside = 0;
  for (index_t i = 0; i < n; i += simd::word_items) {
    const auto word = simd::key_word::of(keys + i);
    const std::uint64_t there = simd::low_bits(n - i);
    const std::uint64_t high = simd::at_least(word, guess.high) & there;
    const std::uint64_t within = simd::at_least(word, guess.low) & ~high & there;
    from_high += std::popcount(high);
    if (inside + std::popcount(within) > room) return false;
    inside += simd::compress(word, within, spare + inside);
  }
  if (k <= from_high || k > from_high + inside) return false;
  kth = kth_largest(spare, inside, k - from_high);
  return true;
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::select_detail

#pragma once

#include <algorithm>
#include <cmath>

#include <rota/core/types.hpp>
#include <rota/cpu/simd/bits.hpp>

// The k-th largest of many keys, without sorting: a sample says between which two keys it must lie,
// and counting says whether it does. A wrong guess costs time, never the result.

namespace rota::cpu::inline ROTA_CPU_ISA::select_detail {

using key_type = std::int32_t;  ///< simd::signed_key() of a score

inline std::uint64_t equal_to(const simd::key_word& keys, key_type key) {
  return simd::at_least(keys, key) & ~simd::above(keys, key);
}

inline constexpr index_t all_left = INT64_MAX;

/// Those of a word's items that are above a key, and the first `left` of those that have it.
inline std::uint64_t best_of(const simd::key_word& keys, std::uint64_t there, key_type key,
                             index_t& left) {
  if (left == all_left) return simd::at_least(keys, key) & there;
  const std::uint64_t first = simd::first_bits(equal_to(keys, key) & there, left);
  left -= std::popcount(first);
  return (simd::above(keys, key) & there) | first;
}

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
};

/// Ranks in a sample between which it shows the k-th largest of all: 3.5 standard deviations to
/// each side, which one sample in two thousand misses.
struct rank_range {
  index_t first, last;

  static rank_range around(double share, index_t samples, double deviation) {
    const double middle = share * static_cast<double>(samples), margin = 3.5 * deviation + 1;
    return {static_cast<index_t>(middle - margin), static_cast<index_t>(middle + margin) + 1};
  }
  /// Its bracket. `kth(k)` is the k-th largest of the sample.
  template <class Kth>
  bracket find(index_t samples, Kth&& kth) const {
    bracket b;
    if (first >= 1) b.high = kth(first);
    if (last <= samples) b.low = kth(last);
    return b;
  }
};

/// The standard deviation of how many of so many independent samples are among a share of all.
inline double independent_deviation(double share, index_t samples) {
  return std::sqrt(static_cast<double>(samples) * share * (1 - share));
}

/// A part of a list: what is left when the best `above` keys and some of the worst are put aside.
struct narrowed_list {
  const key_type* keys = nullptr;
  index_t count = 0;
  index_t above = 0;
};

/// Writes those of n keys that lie in a bracket to `to`, at most `room`; a word more may be written
/// there, and read behind the keys. False where there is no room.
inline bool narrow(const key_type* keys, index_t n, const bracket& guess, key_type* to,
                   index_t room, narrowed_list& out) {
  out = {to, 0, 0};
  for (index_t i = 0; i < n; i += simd::word_items) {
    const auto word = simd::key_word::of(keys + i);
    const std::uint64_t there = simd::low_bits(n - i);
    const std::uint64_t high = simd::at_least(word, guess.high) & there;
    const std::uint64_t inside = simd::at_least(word, guess.low) & ~high & there;
    out.above += std::popcount(high);
    if (out.count + std::popcount(inside) > room) return false;
    out.count += simd::compress(word, inside, to + out.count);
  }
  return true;
}

/// A key and where it lies in a list.
struct ranked_key {
  key_type key = 0;
  index_t above = 0, equal = 0;  ///< keys above it, and those that equal it
};

/// kth_largest() of a long list, narrowed by samples of it. A word of keys may be read behind its
/// end. `spare`: memory for this many keys.
inline ranked_key kth_of_many(const key_type* keys, index_t n, index_t k, key_type* spare,
                              index_t spare_keys) {
  const index_t half = spare_keys / 2;
  index_t above = 0;
  for (int turn = 0; n > 1024; ++turn) {
    key_type sample[4096];
    const index_t samples = n > 65536 ? 4096 : 256;
    for (index_t i = 0; i < samples; ++i) sample[i] = keys[i * (n / samples)];
    const double share = static_cast<double>(k) / static_cast<double>(n);
    const bracket guess =
        rank_range::around(share, samples, independent_deviation(share, samples))
            .find(samples, [&](index_t rank) { return kth_largest(sample, samples, rank); });
    narrowed_list part;
    if (!narrow(keys, n, guess, spare + turn % 2 * half, half - simd::word_items, part)) break;
    if (k <= part.above || k > part.above + part.count || part.count > n / 2) break;
    keys = part.keys;
    n = part.count;
    k -= part.above;
    above += part.above;
  }
  const key_type kth = kth_largest(keys, n, k);
  const index_t higher = simd::count_at_least(keys, n, kth + 1);
  return {kth, above + higher, simd::count_at_least(keys, n, kth) - higher};
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::select_detail

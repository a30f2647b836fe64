#pragma once

#include <algorithm>
#include <cstdint>

#include <rota/cpu/backend.hpp>

namespace rota::cpu::detail {

/// Where a budget cuts a ranking of score keys: items above `key` are kept, and of the items that
/// have just this key the first `ties`.
struct cut {
  static constexpr index_t all = INT64_MAX;

  std::uint32_t key = 0;
  index_t ties = all;

  static constexpr cut keep_all() { return {0, all}; }
  /// No float has this key.
  static constexpr cut keep_none() { return {UINT32_MAX, 0}; }
  static constexpr cut from_threshold(std::uint32_t key) { return {key, all}; }

  bool splits_ties() const { return ties != all && ties != 0; }
};

/// Buckets of the widest digit of a key.
inline constexpr index_t histogram_buckets = 2048;

/// Adds up digit counts of the keys whose higher digits equal `prefix`, over chunks
/// first .. last - 1. Integer sums do not depend on who adds them.
template <class ForEachKey>
void count_digits(const backend& b, index_t* histograms, index_t first, index_t last, int shift,
                  int bits, std::uint32_t prefix, ForEachKey&& for_each_key) {
  std::fill_n(histograms, b.exec.threads * histogram_buckets, index_t{0});
  const std::uint32_t digit_mask = (1u << bits) - 1u;
  parallel_for(b, last - first, [&](index_t i, int worker) {
    index_t* const own = histograms + worker * histogram_buckets;
    for_each_key(first + i, [&](std::uint32_t key) {
      // 64 bits wide, because the first digit has nothing above it and shifts by all 32.
      if ((std::uint64_t{key} >> (shift + bits)) == prefix) ++own[(key >> shift) & digit_mask];
    });
  });
  for (int w = 1; w < b.exec.threads; ++w)
    for (index_t k = 0; k <= static_cast<index_t>(digit_mask); ++k)
      histograms[k] += histograms[w * histogram_buckets + k];
}

/// The cut that keeps the best `quota` of `items` keys: a radix search from the highest digit, no
/// sort. `for_each_key(chunk, f)` calls f(key) for each item of a chunk; `histograms` has room for
/// histogram_buckets counts for each thread of the backend.
template <class ForEachKey>
cut find_cut(const backend& b, index_t* histograms, index_t first, index_t last, index_t quota,
             index_t items, ForEachKey&& for_each_key) {
  if (quota >= items) return cut::keep_all();
  if (quota <= 0) return cut::keep_none();
  struct digit {
    int shift;
    int bits;
  };
  std::uint32_t prefix = 0;
  index_t missing = quota;
  for (const digit d : {digit{21, 11}, digit{10, 11}, digit{0, 10}}) {
    count_digits(b, histograms, first, last, d.shift, d.bits, prefix, for_each_key);
    std::uint32_t bucket = (1u << d.bits) - 1u;
    while (histograms[bucket] < missing) missing -= histograms[bucket--];
    prefix = (prefix << d.bits) | bucket;
    items = histograms[bucket];
  }
  return {prefix, missing == items ? cut::all : missing};
}

}  // namespace rota::cpu::detail

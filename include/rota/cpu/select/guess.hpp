#pragma once

#include <iterator>

#include <rota/cpu/select/items.hpp>

// A bracket around the key that cuts a unit's ranking, by a sample of its items.

namespace rota::cpu::inline ROTA_CPU_ISA::select_detail {

/// Samples that are looked for, and the room there is, since lines may have more ranked items than
/// was expected.
inline constexpr index_t most_samples = 12288;
inline constexpr index_t sample_room = detail::cut_memory::few_items;
static_assert(3 * sample_room >= 4 * most_samples);

/// Bits that look random (the finish of splitmix64).
inline std::uint64_t mixed(std::uint64_t x) {
  x *= 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

/// Keys of lines of items all over memory, which are asked for together: none of them is in a
/// cache.
class scattered_keys {
 public:
  /// `keys` has sample_room; others are forgotten.
  explicit scattered_keys(key_type* keys) : keys_(keys) {}

  void add(const item_line& line) {
    simd::prefetch(reinterpret_cast<std::uintptr_t>(line.first));
    waiting_[waiting_count_++] = line;
    if (waiting_count_ == std::ssize(waiting_)) read();
  }
  /// How many there are.
  index_t read() {
    const index_t before = count_;
    for (index_t i = 0; i < waiting_count_; ++i) read(waiting_[i]);
    waiting_count_ = 0;
    simd::make_keys(keys_ + before, count_ - before);
    return count_;
  }

 private:
  void read(const item_line& line) {
    if (count_ + line_items > sample_room) return;
    if (line.ranked == simd::low_bits(line_items)) {
      std::memcpy(keys_ + count_, line.first, line_items * sizeof(float));
      count_ += line_items;
      return;
    }
    for (std::uint64_t left = line.ranked; left != 0; left &= left - 1)
      keys_[count_++] = bit_cast<key_type>(line.first[std::countr_zero(left)]);
  }

  key_type* keys_;
  index_t count_ = 0, waiting_count_ = 0;
  item_line waiting_[256];
};

/// The standard deviation of how many samples are at or above a key, by how much a line of them
/// differs from the next: neighbours are often alike, and a line then says little more than one.
inline double deviation_of_lines(const key_type* keys, index_t n, key_type key) {
  index_t squares = 0, last = -1;
  for (index_t i = 0; i + simd::word_items <= n; i += simd::word_items) {
    std::uint64_t above = simd::at_least(simd::key_word::of(keys + i), key);
    for (int at = 0; at < simd::word_items; at += line_items, above >>= line_items) {
      const index_t own = std::popcount(above & simd::low_bits(line_items));
      if (last >= 0) squares += (own - last) * (own - last);
      last = own;
    }
  }
  return std::sqrt(0.5 * static_cast<double>(squares));
}

/// The bracket that a sample gives the last of the best `share`. `spare` is for as many keys.
inline bracket bracket_of_sample(const key_type* keys, index_t n, double share, key_type* spare,
                                 index_t spare_keys) {
  const auto kth = [&](index_t k) { return kth_of_many(keys, n, k, spare, spare_keys).key; };
  const auto middle = static_cast<index_t>(share * static_cast<double>(n));
  const double deviation =
      std::max(independent_deviation(share, n),
               deviation_of_lines(keys, n, kth(std::clamp<index_t>(middle, 1, n))));
  return rank_range::around(share, n, deviation).find(n, kth);
}

/// A bracket around the last of the best `quota` of a unit's items, by lines of items that are
/// spread evenly over its chunks. `keys`: scratch, [cut_memory::own_keys].
inline bracket guess_bracket(const item_level& level, const detail::select_unit& unit,
                             index_t quota, index_t items, key_type* keys) {
  const index_t wanted = std::min<index_t>(items / 16, most_samples);
  const index_t chunks = unit.last_chunk - unit.first_chunk;
  // Items of a word that are not ranked are tried in vain.
  const index_t blocks = level.first_block(unit.last_chunk) - level.first_block(unit.first_chunk);
  const auto places = static_cast<double>(blocks * block_words * simd::word_items);
  const double tries = std::min(4.0, places / static_cast<double>(items));
  const auto lines =
      static_cast<index_t>(std::ceil(tries * static_cast<double>(wanted) / line_items));
  scattered_keys sample(keys);
  select_chunk c = level.memory.map.chunk(unit.first_chunk);
  for (index_t i = 0; i < lines; ++i) {
    const index_t number = unit.first_chunk + i * chunks / lines;
    if (number > c.number)
      c = number == c.number + 1 ? level.memory.map.after(c) : level.memory.map.chunk(number);
    sample.add(level.pick(c, mixed(static_cast<std::uint64_t>(i) + 1)));
  }
  const index_t n = sample.read();
  if (n == 0) return {};
  return bracket_of_sample(keys, n, static_cast<double>(quota) / static_cast<double>(items),
                           keys + detail::cut_memory::few_items,
                           detail::cut_memory::own_keys - detail::cut_memory::few_items);
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::select_detail

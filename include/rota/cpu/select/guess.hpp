#pragma once

#include <iterator>

#include <rota/cpu/select/items.hpp>

namespace rota::cpu::inline ROTA_CPU_ISA::select_detail {

inline constexpr index_t most_samples = 4096;

/// Bits that look random (the finish of splitmix64).
inline std::uint64_t mixed(std::uint64_t x) {
  x *= 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

/// Keys of single items all over memory, which are asked for together: none of them is in a cache.
class scattered_keys {
 public:
  /// `keys` has room for so many; others are forgotten.
  scattered_keys(key_type* keys, index_t room) : keys_(keys), room_(room) {}

  void add(const float* item) {
    simd::prefetch(reinterpret_cast<std::uintptr_t>(item));
    waiting_[waiting_count_++] = item;
    if (waiting_count_ == std::ssize(waiting_)) read();
  }
  /// How many there are.
  index_t read() {
    for (index_t i = 0; i < waiting_count_ && count_ < room_; ++i)
      keys_[count_++] = simd::signed_key(score_key(*waiting_[i]));
    waiting_count_ = 0;
    return count_;
  }

 private:
  key_type* keys_;
  index_t room_, count_ = 0, waiting_count_ = 0;
  const float* waiting_[256];
};

/// A bracket around the last of the best `quota` of a unit's items, by a few items of each of up to
/// 1024 chunks. `keys`: scratch, [cut_memory::few_items].
inline bracket guess_bracket(const item_level& level, const detail::select_unit& unit,
                             index_t quota, index_t items, key_type* keys) {
  const index_t wanted = std::min<index_t>(items / 16, most_samples);
  const index_t chunks = unit.last_chunk - unit.first_chunk;
  const index_t strata = std::min<index_t>(chunks, 1024);
  // Items of a word that are not ranked are tried in vain.
  const index_t blocks = level.first_block(unit.last_chunk) - level.first_block(unit.first_chunk);
  const auto places = static_cast<double>(blocks * block_words * simd::word_items);
  const double tries = std::min(4.0, places / static_cast<double>(items)) *
                       static_cast<double>(wanted) / static_cast<double>(strata);
  const auto tries_per_chunk = static_cast<index_t>(tries) + 1;
  scattered_keys sample(keys, detail::cut_memory::few_items);
  std::uint64_t counter = 0;
  for (index_t s = 0; s < strata; ++s) {
    const select_chunk c = level.memory.map.chunk(unit.first_chunk + s * chunks / strata);
    for (index_t i = 0; i < tries_per_chunk; ++i)
      if (const float* const item = level.pick(c, mixed(++counter)); item != nullptr)
        sample.add(item);
  }
  const index_t n = sample.read();
  return bracket::around(keys, n, quota, items);
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::select_detail

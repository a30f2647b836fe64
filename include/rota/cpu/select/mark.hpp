#pragma once

#include <rota/cpu/select/items.hpp>

// The pass over the scores: which items lie above a bracket, and which inside.

namespace rota::cpu::inline ROTA_CPU_ISA::select_detail {

/// Asks for the scores that are read a block later.
[[gnu::always_inline]] inline void prefetch_word(const float* x) {
  constexpr std::uintptr_t ahead = block_words * simd::word_items * sizeof(float);
  for (int i = 0; i < simd::word_items; i += 64 / static_cast<int>(sizeof(float)))
    simd::prefetch(reinterpret_cast<std::uintptr_t>(x + i) + ahead);
}

/// Calls f(word, its items, the ranked of them) for the words of a block that have some. `Word` is
/// what the items are read as.
template <class Word = simd::key_word, class F>
[[gnu::always_inline]] inline void for_words(const item_level& level, const item_block& block,
                                             F&& f) {
  if (const float* x = level.full_words(block); x != nullptr) {
    const auto for_each = [&](auto&& ranked) __attribute__((always_inline)) {
      for (index_t w = 0; w < block_words; ++w, x += simd::word_items) {
        prefetch_word(x);
        if (const std::uint64_t there = ranked(w); there != 0) f(w, Word::of(x), there);
      }
    };
    if (level.ranks_all(block))
      for_each([](index_t) { return ~std::uint64_t{0}; });
    else
      for_each([&](index_t w) { return level.ranked(block, w); });
    return;
  }
  float buffer[simd::word_items];
  for (index_t w = 0; w < block.words(); ++w)
    if (const std::uint64_t there = level.ranked(block, w); there != 0)
      f(w, Word::of(level.scores(block, w, buffer)), there);
}

/// What a bracket makes of a block.
struct block_marks {
  std::uint64_t high[block_words] = {}, inside[block_words] = {};
  index_t above = 0, listed = 0;
};

template <class Word, class Bound>
[[gnu::noinline]] void mark_words(const item_level& level, const item_block& block, Bound low,
                                  Bound high, key_type* keys, block_marks& out) {
  index_t above = 0, listed = 0;
  for_words<Word>(
      level,
      block, [&](index_t w, const Word& x, std::uint64_t there) __attribute__((always_inline)) {
        const simd::split_word s = simd::split(x, there, low, high, keys + listed);
        out.high[w] = s.high;
        out.inside[w] = s.inside;
        above += std::popcount(s.high);
        listed += std::popcount(s.inside);
      });
  out.above = above;
  out.listed = listed;
}

/// Marks a block's items above a bracket and those inside; writes the keys of the latter. Scores
/// are compared as they are where that says the same: making keys of all takes longer.
inline void mark_block(const item_level& level, const item_block& block, const bracket& guess,
                       key_type* keys, block_marks& out) {
  if (!simd::compares_as_number(guess.low) || !simd::compares_as_number(guess.high))
    return mark_words<simd::key_word>(level, block, guess.low, guess.high, keys, out);
  mark_words<simd::score_word>(level, block, simd::number_of(guess.low),
                               simd::number_of(guess.high), keys, out);
  simd::make_keys(keys, out.listed);
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::select_detail

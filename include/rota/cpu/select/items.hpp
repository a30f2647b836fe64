#pragma once

#include <cstring>
#include <limits>

#include <rota/cpu/select/memory.hpp>
#include <rota/cpu/simd/split.hpp>

namespace rota::cpu {

inline namespace ROTA_CPU_ISA {
namespace select_detail {

using detail::block_words;
using detail::select_chunk;
using detail::select_memory;

/// The items of a block: words of 64 bits each.
struct item_block {
  const select_chunk* chunk = nullptr;
  detail::item_layout layout;
  index_t number = 0;           ///< among the blocks of all layers
  index_t first = 0, last = 0;  ///< tokens

  index_t words() const {
    return (last - first + layout.tokens_per_word - 1) / layout.tokens_per_word;
  }
  index_t token(index_t word) const { return first + word * layout.tokens_per_word; }
  index_t tokens(index_t word) const {
    return std::min<index_t>(layout.tokens_per_word, last - token(word));
  }
};

/// Items of a word that lie one after another, and which of them are ranked.
struct item_line {
  const float* first = nullptr;
  std::uint64_t ranked = 0;
};
/// As many as a line of a cache has, where they lie so.
inline constexpr int line_items = 16;

/// The items that one level ranks: tokens that are not protected, or the available groups of those
/// among the survivors.
struct item_level {
  const select_memory& memory;
  bool groups = false;
  /// [blocks, block_words]: what is kept of the ranked items.
  std::uint64_t* kept = nullptr;
  /// Kept items are ranked no more.
  bool rest = false;

  static item_level of_tokens(const select_memory& m) { return {m, false, m.survivors}; }
  static item_level of_groups(const select_memory& m) { return {m, true, m.kept_groups}; }

  const detail::item_layout& layout(const detail::select_layer& l) const {
    return groups ? l.groups : l.tokens;
  }
  index_t blocks() const { return groups ? memory.map.group_blocks : memory.map.token_blocks; }
  std::uint64_t* words_of(const item_block& b) const { return kept + b.number * block_words; }

  index_t first_block(const select_chunk& c) const {
    const detail::item_layout& at = layout(*c.layer);
    return at.first_block + (c.number - c.layer->first_chunk) * at.blocks_per_chunk;
  }
  /// The first block of a chunk; behind the last chunk, the number of blocks.
  index_t first_block(index_t chunk) const {
    if (chunk == memory.map.chunks) return blocks();
    return first_block(memory.map.chunk(chunk));
  }

  /// Calls f(block) for the blocks of a chunk. Blocks behind a head's last token are empty.
  template <class F>
  void for_blocks(const select_chunk& c, F&& f) const {
    item_block b;
    b.chunk = &c;
    b.layout = layout(*c.layer);
    const index_t tokens = block_words * b.layout.tokens_per_word;
    b.number = first_block(c);
    b.first = c.first;
    for (index_t i = 0; i < b.layout.blocks_per_chunk; ++i, ++b.number, b.first = b.last) {
      b.last = std::min(c.last, b.first + tokens);
      f(static_cast<const item_block&>(b));
    }
  }

  /// The same over chunks, f(block, worker), on the backend's threads.
  template <class F>
  void for_blocks(const backend& b, index_t first_chunk, index_t last_chunk, F&& f) const {
    detail::for_chunks(b, memory.map, first_chunk, last_chunk,
                       [&](const select_chunk& c, int worker) {
                         for_blocks(c, [&](const item_block& block) { f(block, worker); });
                       });
  }

  /// The ranked items of a word.
  std::uint64_t ranked(const item_block& b, index_t word) const {
    const detail::select_layer& l = *b.chunk->layer;
    const index_t first = b.token(word), n = b.tokens(word);
    const std::uint64_t tokens = ranked_tokens(l, first, n);
    const std::uint64_t items =
        groups ? groups_of(*b.chunk, first,
                           tokens & memory.survivors_from(*b.chunk, first - b.chunk->first, n))
               : tokens;
    return rest ? items & ~words_of(b)[word] : items;
  }

  /// Whether it is plain that all tokens of a block are ranked.
  bool ranks_all(const item_block& b) const {
    const detail::select_layer& l = *b.chunk->layer;
    return !groups && !rest && b.first >= l.first_ranked() && b.last <= l.last_ranked();
  }

  /// The scores of a block, if its words are full and lie one after another; else null.
  const float* full_words(const item_block& b) const {
    const index_t width = b.layout.width;
    if ((b.last - b.first) * width != block_words * simd::word_items) return nullptr;
    if (groups && b.chunk->layer->scores.groups.stride[1] != width) return nullptr;
    return score_row(*b.chunk, b.first);
  }

  /// The scores of a word, 64 floats; those behind its last item may be anything.
  const float* scores(const item_block& b, index_t word, float* buffer) const {
    const detail::select_layer& l = *b.chunk->layer;
    const index_t first = b.token(word), width = b.layout.width;
    const index_t row_floats = width * (l.problem.tokens - first);
    const bool dense = !groups || l.scores.groups.stride[1] == width;
    if (dense && row_floats >= simd::word_items) return score_row(*b.chunk, first);
    std::fill_n(buffer, simd::word_items, std::numeric_limits<float>::quiet_NaN());
    for (index_t i = 0; i < b.tokens(word); ++i)
      std::copy_n(score_row(*b.chunk, first + i), width, buffer + i * width);
    return buffer;
  }

  /// Up to 16 items of a chunk, one after another in memory, that 64 random bits choose.
  item_line pick(const select_chunk& c, std::uint64_t random) const {
    const detail::item_layout& at = layout(*c.layer);
    const bool dense = !groups || c.layer->scores.groups.stride[1] == at.width;
    // Small numbers without a sign are quick to divide.
    const auto width = static_cast<unsigned>(at.width);
    const auto per_word = static_cast<unsigned>(at.tokens_per_word);
    const unsigned per_line = dense ? std::max(1u, line_items / width) : 1;
    const auto tokens = static_cast<std::uint64_t>(c.last - c.first);
    auto token = static_cast<unsigned>((random >> 32) * tokens >> 32);
    token -= token % per_word % per_line;
    const unsigned word = token / per_word, word_in_block = word % block_words;
    item_block b{&c, at, first_block(c) + word / block_words, c.first, c.last};
    b.first += (word - word_in_block) * per_word;
    const std::uint64_t items = ranked(b, word_in_block) >> (token % per_word * width);
    return {score_row(c, c.first + token), items & simd::low_bits(per_line * width)};
  }

  const float* score_row(const select_chunk& c, index_t token) const {
    const layer_scores& s = c.layer->scores;
    return groups ? s.groups.row(c.head, token) : s.tokens.row(c.head) + token;
  }

  /// Tokens first .. first + n - 1, n <= 64, that are not protected.
  static std::uint64_t ranked_tokens(const detail::select_layer& l, index_t first, index_t n) {
    const index_t from = std::clamp<index_t>(l.first_ranked() - first, 0, n);
    const index_t to = std::clamp<index_t>(l.last_ranked() - first, 0, n);
    return simd::low_bits(to) & ~simd::low_bits(from);
  }

 private:
  /// The available groups of these tokens.
  static std::uint64_t groups_of(const select_chunk& c, index_t first, std::uint64_t tokens) {
    const select_problem& p = c.layer->problem;
    const int width = p.groups;
    if (p.available.data == nullptr)
      return simd::deposit(tokens, c.layer->groups.token_bits) * full_mask(width);
    std::uint64_t items = 0;
    for (; tokens != 0; tokens &= tokens - 1) {
      const int i = std::countr_zero(tokens);
      items |= std::uint64_t{c.layer->available(c.head, first + i)} << (i * width);
    }
    return items;
  }
};

}  // namespace select_detail
}  // namespace ROTA_CPU_ISA
}  // namespace rota::cpu

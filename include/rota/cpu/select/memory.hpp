#pragma once

#include <bit>
#include <span>

#include <rota/cpu/select/chunks.hpp>
#include <rota/cpu/select/cut.hpp>
#include <rota/cpu/select/order.hpp>

namespace rota::cpu::detail {

/// What a selection keeps while it looks for the cuts of one level.
struct cut_memory {
  /// Keys that are listed of a block, on average.
  static constexpr index_t listed_per_block = 128, spare_per_block = 16;
  /// Vector code reads and writes up to so many keys behind a list: the end of its room.
  static constexpr index_t slack = simd::word_items;
  /// A unit of at most so many items is listed as a whole.
  static constexpr index_t few_items = 16384;
  /// What a thread has for samples, or for the list of a small unit and what is made of it.
  static constexpr index_t own_keys = 2 * few_items + slack;

  std::uint64_t* high = nullptr;    ///< [blocks, block_words]: items above a bracket
  std::uint64_t* inside = nullptr;  ///< [blocks, block_words]: items in it
  std::int32_t* list = nullptr;     ///< [blocks, listed_per_block]: their keys
  std::int32_t* spare = nullptr;    ///< [blocks, spare_per_block]
  index_t* places = nullptr;        ///< [blocks]: where in its unit's list a block begins
  index_t* ties = nullptr;          ///< [blocks]: items with the cut's key before the block
  index_t* quotas = nullptr;        ///< [rows]: items that each unit keeps
  index_t* floor_quotas = nullptr;  ///< [rows]: items that the floor of each row keeps
  std::int32_t* own = nullptr;      ///< [threads, own_keys]
  index_t* histograms = nullptr;    ///< [threads, histogram_buckets]

  static cut_memory carve(carver& from, const backend& b, index_t rows, index_t blocks) {
    cut_memory m;
    m.high = from.take<std::uint64_t>(blocks * block_words);
    m.inside = from.take<std::uint64_t>(blocks * block_words);
    m.list = from.take<std::int32_t>(blocks * listed_per_block);
    m.spare = from.take<std::int32_t>(blocks * spare_per_block);
    m.places = from.take<index_t>(blocks);
    m.ties = from.take<index_t>(blocks);
    m.quotas = from.take<index_t>(rows);
    m.floor_quotas = from.take<index_t>(rows);
    m.own = from.take<std::int32_t>(b.exec.threads * own_keys);
    m.histograms = from.take<index_t>(b.exec.threads * histogram_buckets);
    return m;
  }
};

/// Scratch memory of a selection: five bits an item and their share of a list, a few words a chunk
/// of tokens, a sample and a histogram a thread.
struct select_memory {
  select_map map;
  std::uint64_t* survivors = nullptr;    ///< [token blocks, block_words]
  std::uint64_t* kept_groups = nullptr;  ///< [group blocks, block_words]: of survivors
  index_t* kept = nullptr;               ///< [chunks]: survivors, later where they are written
  index_t* items = nullptr;              ///< [chunks]: groups of the survivors
  index_t* guarded = nullptr;            ///< [chunks]: those of protected tokens
  cut_memory cuts;

  /// `groups`: whether groups are selected.
  static select_memory carve(carver& from, const backend& b,
                             std::span<const select_problem> problems, index_t layers,
                             bool groups) {
    select_memory m;
    m.map.layer_count = layers;
    m.map.layers = from.take<select_layer>(layers);
    index_t rows = 0, chunks = 0, token_blocks = 0, group_blocks = 0;
    for (index_t l = 0; l < layers; ++l) {
      const select_problem& p = problems[problems.size() == 1 ? 0 : static_cast<std::size_t>(l)];
      const index_t more =
          p.kv_heads * ((p.tokens + select_chunk_tokens - 1) / select_chunk_tokens);
      rows += p.kv_heads;
      chunks += more;
      token_blocks += more * item_layout::of(1, 0).blocks_per_chunk;
      if (groups) group_blocks += more * item_layout::of(p.groups, 0).blocks_per_chunk;
    }
    m.survivors = from.take<std::uint64_t>(chunks * words_per_chunk);
    m.kept_groups = from.take<std::uint64_t>(group_blocks * block_words);
    m.kept = from.take<index_t>(chunks);
    m.items = from.take<index_t>(chunks);
    m.guarded = from.take<index_t>(chunks);
    m.cuts = cut_memory::carve(from, b, rows, std::max(token_blocks, group_blocks));
    return m;
  }

  /// The survivors among n <= 64 tokens of a chunk, the first of them `at` behind its start.
  std::uint64_t survivors_from(const select_chunk& c, index_t at, index_t n) const {
    const std::uint64_t* const words = survivors + c.number * words_per_chunk + at / 64;
    std::uint64_t bits = words[0] >> (at % 64);
    if (at % 64 + n > 64) bits |= words[1] << (64 - at % 64);
    return bits & simd::low_bits(n);
  }

  bool survives(const select_chunk& c, index_t i) const {
    return survivors_from(c, i - c.first, 1) != 0;
  }

  /// Calls f(token) for each survivor of a chunk, ascending.
  template <class F>
  void for_survivors(const select_chunk& c, F&& f) const {
    const std::uint64_t* const words = survivors + c.number * words_per_chunk;
    for (index_t w = 0; c.first + w * 64 < c.last; ++w)
      for (std::uint64_t bits = words[w]; bits != 0; bits &= bits - 1)
        f(c.first + w * 64 + std::countr_zero(bits));
  }
};

}  // namespace rota::cpu::detail

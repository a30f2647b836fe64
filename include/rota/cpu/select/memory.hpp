#pragma once

#include <bit>
#include <span>

#include <rota/cpu/select/chunks.hpp>
#include <rota/cpu/select/cut.hpp>

namespace rota::cpu::detail {

/// Scratch memory of a selection: a bit a token, a few words a chunk of 1024 tokens, a histogram a
/// thread.
struct select_memory {
  select_map map;
  std::uint64_t* survivors = nullptr;  ///< [chunks, words_per_chunk]
  index_t* kept = nullptr;             ///< [chunks]: survivors, later written tokens
  index_t* ties = nullptr;             ///< [chunks]: items with the cut's key before the chunk
  index_t* items = nullptr;            ///< [chunks]: groups of the survivors
  index_t* guarded = nullptr;          ///< [chunks]: those of protected tokens
  index_t* quotas = nullptr;           ///< [rows]: items that each unit's cut keeps
  cut* cuts = nullptr;                 ///< [rows]: one for each unit, of either stage
  // The same for the floors of a budget that has one; their units are the rows.
  index_t* floor_ties = nullptr;    ///< [chunks]
  index_t* floor_quotas = nullptr;  ///< [rows]
  cut* floors = nullptr;            ///< [rows]
  index_t* histograms = nullptr;    ///< [threads, histogram_buckets]

  static select_memory carve(carver& from, const backend& b,
                             std::span<const select_problem> problems, index_t layers) {
    select_memory m;
    m.map.layer_count = layers;
    m.map.layers = from.take<select_layer>(layers);
    index_t rows = 0, chunks = 0;
    for (index_t l = 0; l < layers; ++l) {
      const select_problem& p = problems[problems.size() == 1 ? 0 : static_cast<std::size_t>(l)];
      rows += p.kv_heads;
      chunks += p.kv_heads * ((p.tokens + select_chunk_tokens - 1) / select_chunk_tokens);
    }
    m.survivors = from.take<std::uint64_t>(chunks * words_per_chunk);
    m.kept = from.take<index_t>(chunks);
    m.ties = from.take<index_t>(chunks);
    m.items = from.take<index_t>(chunks);
    m.guarded = from.take<index_t>(chunks);
    m.quotas = from.take<index_t>(rows);
    m.cuts = from.take<cut>(rows);
    m.floor_ties = from.take<index_t>(chunks);
    m.floor_quotas = from.take<index_t>(rows);
    m.floors = from.take<cut>(rows);
    m.histograms = from.take<index_t>(b.exec.threads * histogram_buckets);
    return m;
  }

  bool survives(const select_chunk& c, index_t i) const {
    const index_t at = i - c.first;
    return survivors[c.number * words_per_chunk + at / 64] >> (at % 64) & 1u;
  }

  index_t survivors_of(index_t chunk) const {
    index_t n = 0;
    for (index_t w = 0; w < words_per_chunk; ++w)
      n += std::popcount(survivors[chunk * words_per_chunk + w]);
    return n;
  }

  /// Calls f(token) for each survivor of a chunk, ascending.
  template <class F>
  void for_survivors(const select_chunk& c, F&& f) const {
    const std::uint64_t* const words = survivors + c.number * words_per_chunk;
    for (index_t w = 0; c.first + w * 64 < c.last; ++w)
      for (std::uint64_t bits = words[w]; bits != 0; bits &= bits - 1)
        f(c.first + w * 64 + __builtin_ctzll(bits));
  }
};

}  // namespace rota::cpu::detail

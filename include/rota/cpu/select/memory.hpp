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
  cut* cuts = nullptr;                 ///< [rows]: one for each unit, of either stage
  index_t* histograms = nullptr;       ///< [threads, histogram_buckets]

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
    m.cuts = from.take<cut>(rows);
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

/// Finds the cut of every unit. `cuts[u].ties` holds the unit's quota on entry. Many small units
/// run side by side, few large ones are cut one after another by all threads: the same integers.
template <class ForEachKey, class RankedItems>
void find_cuts(const backend& b, const select_memory& m, budget_scope scope,
               ForEachKey&& for_each_key, RankedItems&& ranked_items) {
  const auto find = [&](const backend& inner, index_t* histograms, index_t u) {
    const select_unit unit = m.map.unit(scope, u);
    m.cuts[u] = find_cut(inner, histograms, unit.first_chunk, unit.last_chunk, m.cuts[u].ties,
                         ranked_items(unit), for_each_key);
  };
  const index_t units = m.map.units(scope);
  if (units >= 2 * b.exec.threads) {
    parallel_for(b, units, [&](index_t u, int worker) {
      find(backend{}, m.histograms + worker * histogram_buckets, u);
    });
  } else {
    for (index_t u = 0; u < units; ++u) find(b, m.histograms, u);
  }
}

/// Fills m.ties: how many items with the cut's key precede each chunk inside its unit. Left at 0
/// where a cut takes all of them or none.
template <class ForEachKey>
void rank_ties(const backend& b, const select_memory& m, budget_scope scope,
               ForEachKey&& for_each_key) {
  parallel_for(b, m.map.chunks, [&](index_t i, int) {
    const cut at = m.cuts[m.map.unit_of(scope, m.map.chunk(i))];
    index_t equal = 0;
    if (at.splits_ties()) for_each_key(i, [&](std::uint32_t key) { equal += key == at.key; });
    m.ties[i] = equal;
  });
  for (index_t u = 0; u < m.map.units(scope); ++u) {
    const select_unit unit = m.map.unit(scope, u);
    index_t before = 0;
    for (index_t i = unit.first_chunk; i < unit.last_chunk; ++i) {
      const index_t own = m.ties[i];
      m.ties[i] = before;
      before += own;
    }
  }
}

}  // namespace rota::cpu::detail

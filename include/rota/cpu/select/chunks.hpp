#pragma once

#include <algorithm>
#include <cstdint>

#include <rota/core/workspace.hpp>
#include <rota/cpu/backend.hpp>
#include <rota/policy/concepts.hpp>
#include <rota/select/selection.hpp>

namespace rota::cpu::detail {

/// Tokens of a unit of work. A multiple of 64, so that no two chunks share a word of survivors.
inline constexpr index_t select_chunk_tokens = 4096;
inline constexpr index_t words_per_chunk = select_chunk_tokens / 64;
/// Chunks that a thread takes at once, of so many: neighbours, up to a point, and no thread waits
/// long for the last one.
constexpr index_t chunks_at_once(index_t chunks, int threads) {
  return std::clamp<index_t>(chunks / (16 * threads), 1, 32);
}

/// Words of a block: what is counted and listed together inside a chunk.
inline constexpr index_t block_words = 16;

/// How the items of one level, tokens or groups, lie in words of 64 bits: `width` of each token,
/// and no token in two words. A chunk of tokens has so many blocks.
struct item_layout {
  int width = 1;
  int tokens_per_word = 64;
  std::uint64_t token_bits = ~std::uint64_t{0};  ///< the first item of each token of a word
  index_t first_block = 0;                       ///< of the layer, among those of all layers
  index_t blocks_per_chunk = 1;

  static item_layout of(int width, index_t first_block) {
    item_layout l;
    l.width = width;
    l.tokens_per_word = 64 / width;
    l.token_bits = 0;
    for (int i = 0; i < l.tokens_per_word; ++i) l.token_bits |= std::uint64_t{1} << (i * width);
    l.first_block = first_block;
    const index_t tokens = block_words * l.tokens_per_word;
    l.blocks_per_chunk = (select_chunk_tokens + tokens - 1) / tokens;
    return l;
  }
};

/// One layer of a call, with where its rows and chunks are among those of all layers. A row is
/// a (layer, kv head).
struct select_layer {
  select_problem problem;
  layer_scores scores;
  selection out;
  index_t number = 0;
  index_t first_row = 0;
  index_t first_chunk = 0;
  index_t chunks_per_head = 0;
  item_layout tokens, groups;

  index_t rows() const { return problem.kv_heads; }
  index_t chunks() const { return rows() * chunks_per_head; }
  index_t expired() const { return expired_; }
  index_t first_ranked() const { return first_ranked_; }
  index_t last_ranked() const { return last_ranked_; }
  index_t protected_tokens() const {
    return problem.tokens - expired_ - (last_ranked_ - first_ranked_);
  }
  void find_ranked() {
    expired_ = problem.expired();
    first_ranked_ = problem.first_ranked();
    last_ranked_ = problem.last_ranked();
  }
  group_mask available(index_t head, index_t i) const { return problem.available_groups(head, i); }

 private:
  index_t expired_ = 0, first_ranked_ = 0, last_ranked_ = 0;
};

/// A run of tokens of one row.
struct select_chunk {
  const select_layer* layer = nullptr;
  index_t number = 0;
  index_t head = 0;
  index_t first = 0;
  index_t last = 0;

  index_t row() const { return layer->first_row + head; }
};

/// A set of consecutive rows that a budget ranks together.
struct select_unit {
  index_t first_row = 0;
  index_t last_row = 0;
  index_t first_chunk = 0;
  index_t last_chunk = 0;
};

/// All rows and chunks of a call, in the order that breaks ties: layer, head, token.
struct select_map {
  select_layer* layers = nullptr;
  index_t layer_count = 0;
  index_t rows = 0;
  index_t chunks = 0;
  index_t token_blocks = 0, group_blocks = 0;

  void add(index_t number, const select_problem& p) {
    select_layer& l = layers[number];
    l.problem = p;
    l.find_ranked();
    l.number = number;
    l.first_row = rows;
    l.first_chunk = chunks;
    l.chunks_per_head = (p.tokens + select_chunk_tokens - 1) / select_chunk_tokens;
    l.tokens = item_layout::of(1, token_blocks);
    l.groups = item_layout::of(p.groups, group_blocks);
    rows += l.rows();
    chunks += l.chunks();
    token_blocks += l.chunks() * l.tokens.blocks_per_chunk;
    group_blocks += l.chunks() * l.groups.blocks_per_chunk;
  }

  const select_layer& layer_of_row(index_t row) const {
    const select_layer* const after =
        std::upper_bound(layers, layers + layer_count, row,
                         [](index_t r, const select_layer& l) { return r < l.first_row; });
    return after[-1];
  }

  select_chunk chunk(index_t number) const {
    // Layers without tokens have no chunks: the last layer that starts at or before `number`.
    const select_layer* const after =
        std::upper_bound(layers, layers + layer_count, number,
                         [](index_t c, const select_layer& l) { return c < l.first_chunk; });
    const select_layer& l = after[-1];
    const index_t local = number - l.first_chunk;
    const index_t first = local % l.chunks_per_head * select_chunk_tokens;
    return {&l, number, local / l.chunks_per_head, first,
            std::min(l.problem.tokens, first + select_chunk_tokens)};
  }

  /// The chunk after one that is not the last.
  select_chunk after(select_chunk c) const {
    if (c.last == c.layer->problem.tokens) return chunk(c.number + 1);
    ++c.number;
    c.first = c.last;
    c.last = std::min(c.layer->problem.tokens, c.first + select_chunk_tokens);
    return c;
  }

  index_t units(budget_scope scope) const {
    if (scope == budget_scope::span) return layer_count > 0 ? 1 : 0;
    return scope == budget_scope::layer ? layer_count : rows;
  }

  index_t unit_of(budget_scope scope, const select_chunk& c) const {
    if (scope == budget_scope::span) return 0;
    return scope == budget_scope::layer ? c.layer->number : c.row();
  }

  budget_place place_of_row(index_t row) const {
    const select_layer& l = layer_of_row(row);
    return l.problem.place_of(row - l.first_row);
  }
  select_unit unit(budget_scope scope, index_t number) const {
    if (scope == budget_scope::span) return {0, rows, 0, chunks};
    if (scope == budget_scope::layer) {
      const select_layer& l = layers[number];
      return {l.first_row, l.first_row + l.rows(), l.first_chunk, l.first_chunk + l.chunks()};
    }
    const select_layer& l = layer_of_row(number);
    const index_t first = l.first_chunk + (number - l.first_row) * l.chunks_per_head;
    return {number, number + 1, first, first + l.chunks_per_head};
  }
};

/// Calls f(chunk, worker) for the chunks first .. last - 1, and after() behind each run of them.
template <class F, class After>
void for_chunks(const backend& b, const select_map& map, index_t first, index_t last, F&& f,
                After&& after) {
  const index_t at_once = chunks_at_once(last - first, b.exec.threads);
  parallel_for(b, (last - first + at_once - 1) / at_once, [&](index_t i, int worker) {
    index_t number = first + i * at_once;
    const index_t end = std::min(last, number + at_once);
    for (select_chunk c = map.chunk(number);; c = map.after(c)) {
      f(static_cast<const select_chunk&>(c), worker);
      if (++number == end) break;
    }
    after();
  });
}

template <class F>
void for_chunks(const backend& b, const select_map& map, index_t first, index_t last, F&& f) {
  for_chunks(b, map, first, last, f, [] {});
}

}  // namespace rota::cpu::detail

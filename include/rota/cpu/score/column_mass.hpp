#pragma once

#include <rota/cpu/score/key_tile.hpp>
#include <rota/score/mass_queries.hpp>

// Attention that queries give each token, summed over the queries: the fused pass of every scorer
// that needs attention weights. The attention matrix is never stored: a first pass over the keys
// finds the softmax of each query row, a second adds the probabilities up.

namespace rota::cpu::inline ROTA_CPU_ISA::score_detail {

inline constexpr index_t mass_chunk = 256;

/// Scratch memory of column_mass().
struct mass_memory {
  index_t rows = 0;                  ///< query rows of a kv head: queries times G
  partial_softmax* parts = nullptr;  ///< [chunks, rows]
  softmax_row* softmax = nullptr;    ///< [kv_heads, rows]
  token_run* seen = nullptr;         ///< [queries]
  detail::row_buffers buffers;
  float* tiles = nullptr;  ///< [threads, d + row_block + 1, tile_tokens], and row_block query rows

  template <element E, class... Parts, element Q>
  static mass_memory carve(carver& from, const backend& b, const context<E, Parts...>& c,
                           const mass_queries<Q>& q) {
    mass_memory m;
    m.rows = std::max<index_t>(0, q.queries.extent[0] * (q.queries.extent[1] / c.kv_heads()));
    const detail::token_chunks chunks{c.tokens(), c.kv_heads(), mass_chunk};
    m.parts = from.take<partial_softmax>(chunks.count() * m.rows);
    m.softmax = from.take<softmax_row>(c.kv_heads() * m.rows);
    m.seen = from.take<token_run>(std::max<index_t>(0, q.rows()));
    m.buffers = detail::row_buffers::carve(from, b, c);
    m.tiles = from.take<float>(b.exec.threads * tile_floats(c.d_k()));
    return m;
  }
  static index_t tile_floats(index_t d) {
    return (d + row_block + 1) * tile_tokens + row_block * d;
  }
  float* query_rows(int worker, index_t d) const {
    return tile(worker, d) + (d + row_block + 1) * tile_tokens;
  }
  float* tile(int worker, index_t d) const { return tiles + worker * tile_floats(d); }
};

/// Checks the window queries of a context, whatever is then made of them.
template <element E, class... Parts, class Out>
status check_queries(const context<E, Parts...>& c, const Out& out) {
  if (status s = check_mass_queries(c); !s) return s;
  if (overlaps(range_of(out), range_of(c.queries)) ||
      overlaps(range_of(out), range_of(c.query_positions)))
    return {errc::overlapping_memory, "out"};
  if (c.query_positions.data == nullptr) return {};
  for (index_t i = 1; i < c.query_positions.extent[0]; ++i)
    if (c.query_positions(i) <= c.query_positions(i - 1))
      return {errc::bad_position, "query_positions"};
  return {};
}

/// Position of a query row; of a context that has as many tokens, where the rows have none of their
/// own.
template <element E, class... Parts, element Q>
index_t query_position(const context<E, Parts...>& c, const mass_queries<Q>& q, index_t i) {
  return q.positions.data != nullptr ? q.positions(i) : c.position(c.tokens() - q.rows() + i);
}

/// The first token at or behind the first query row; of no rows, the number of tokens.
template <element E, class... Parts, element Q>
index_t first_own_token(const context<E, Parts...>& c, const mass_queries<Q>& q) {
  if (q.rows() == 0) return c.tokens();
  return tokens_up_to(c.tokens(), query_position(c, q, 0) - 1,
                      [&](index_t i) { return c.position(i); });
}

/// Finds what each query row sees: both ends ascend with the rows.
template <element E, class... Parts, element Q>
void find_seen(const context<E, Parts...>& c, const mass_queries<Q>& q, const mass_memory& m) {
  for (index_t i = 0; i < q.rows(); ++i)
    m.seen[i] = tokens_seen(c.tokens(), query_position(c, q, i), c.sliding_window,
                            [&](index_t token) { return c.position(token); });
}

/// What a pass over a tile of keys needs beside the problem.
struct mass_tile {
  index_t head, first, count;  ///< of the tile's tokens
  const float* keys;           ///< [d, tile_tokens]
  float* product;              ///< [row_block, tile_tokens]
  float* query_rows;           ///< [row_block, d], for rows that are not float
};

/// The tokens of a tile that a query sees, counted from the tile's first.
inline token_run seen_in_tile(const token_run& seen, const mass_tile& t) {
  return {std::max<index_t>(0, seen.first - t.first), std::min(t.count, seen.last - t.first)};
}

/// Calls f(row, logits, run) for each query row that sees something of the tile: of its logits
/// those of the run count.
template <element E, class... Parts, element Q, class F>
void for_query_rows(const mass_queries<Q>& q, const context<E, Parts...>& c, const mass_memory& m,
                    const mass_tile& tile, F&& f) {
  const index_t d = c.d_k(), group = q.queries.extent[1] / c.kv_heads();
  const float scale = q.logit_scale();
  for (index_t begin = 0; begin < m.rows; begin += row_block) {
    const int n = static_cast<int>(std::min<index_t>(row_block, m.rows - begin));
    // Both ends ascend with the rows.
    const token_run widest{m.seen[begin / group].first, m.seen[(begin + n - 1) / group].last};
    const token_run any = seen_in_tile(widest, tile);
    if (any.first >= any.last) continue;
    const float* rows[row_block];
    for (int r = 0; r < n; ++r)
      rows[r] = detail::float_row(
          q.queries.row((begin + r) / group, tile.head * group + (begin + r) % group), d,
          tile.query_rows + r * d);
    multiply_rows(rows, n, d, tile.keys, tile.product);
    for (int r = 0; r < n; ++r) {
      const token_run run = seen_in_tile(m.seen[(begin + r) / group], tile);
      if (run.first >= run.last) continue;
      float* const logits = tile.product + r * tile_tokens;
      for (index_t t = 0; t < tile_tokens; ++t) logits[t] *= scale;
      f(begin + r, logits, run);
    }
  }
}

/// Loads the keys of each tile of a chunk and calls f(tile).
template <element E, class... Parts, class F>
void for_mass_tiles(const context<E, Parts...>& c, const mass_memory& m,
                    const detail::token_chunk& chunk, int worker, F&& f) {
  float* const keys = m.tile(worker, c.d_k());
  for (index_t first = chunk.first; first < chunk.last; first += tile_tokens) {
    const index_t count = std::min(tile_tokens, chunk.last - first);
    load_key_tile(c, chunk.head, first, count, keys);
    f(mass_tile{chunk.head, first, count, keys, keys + c.d_k() * tile_tokens,
                m.query_rows(worker, c.d_k())});
  }
}

/// First pass: the chunk's part of every row's softmax.
template <element E, class... Parts, element Q>
void mass_chunk_softmax(const mass_queries<Q>& q, const context<E, Parts...>& c,
                        const mass_memory& m, const detail::token_chunk& chunk,
                        partial_softmax* parts, int worker) {
  std::fill_n(parts, m.rows, partial_softmax{});
  for_mass_tiles(c, m, chunk, worker, [&](const mass_tile& tile) {
    for_query_rows(q, c, m, tile, [&](index_t row, const float* logits, const token_run& run) {
      parts[row].add(logits + run.first, run.last - run.first);
    });
  });
}

/// Second pass: the chunk's probabilities, summed over the rows.
template <element E, class... Parts, element Q>
void mass_chunk_sums(const mass_queries<Q>& q, const context<E, Parts...>& c, const mass_memory& m,
                     const detail::token_chunk& chunk, float* out, int worker) {
  const softmax_row* const softmax = m.softmax + chunk.head * m.rows;
  for_mass_tiles(c, m, chunk, worker, [&](const mass_tile& tile) {
    float mass[tile_tokens] = {};
    for_query_rows(q, c, m, tile, [&](index_t row, float* logits, const token_run& run) {
      // Tokens that the row does not see get nothing, whatever their logits.
      constexpr float nothing = -std::numeric_limits<float>::infinity();
      std::fill(logits, logits + run.first, nothing);
      std::fill(logits + run.last, logits + tile_tokens, nothing);
      add_exp(logits, run.last, softmax[row].max, softmax[row].inverse, mass);
    });
    std::copy_n(mass, tile.count, out + tile.first);
  });
}

/// out [kv_heads, tokens]: sum over queries and query heads of the kv head of p_{q, token}.
template <element E, class... Parts, element Q>
void column_mass(const backend& b, const context<E, Parts...>& c, const mass_queries<Q>& q,
                 const mass_memory& m, const view<float, 2>& out) {
  const detail::token_chunks chunks{c.tokens(), c.kv_heads(), mass_chunk};
  const index_t per_head = chunks.per_head();
  find_seen(c, q, m);
  parallel_for(b, chunks.count(), [&](index_t i, int worker) {
    mass_chunk_softmax(q, c, m, chunks.at(i), m.parts + i * m.rows, worker);
  });
  parallel_for(b, c.kv_heads(), [&](index_t h, int) {
    for (index_t row = 0; row < m.rows; ++row)
      m.softmax[h * m.rows + row] = join(m.parts + h * per_head * m.rows + row, per_head, m.rows);
  });
  parallel_for(b, chunks.count(), [&](index_t i, int worker) {
    const detail::token_chunk chunk = chunks.at(i);
    mass_chunk_sums(q, c, m, chunk, out.row(chunk.head), worker);
  });
}

/// x_i <- sum over |j - i| <= kernel / 2 of x_j / kernel, zeros outside 0 .. n - 1. `copy` [n].
inline void average_pool(float* x, index_t n, index_t kernel, float* copy) {
  if (kernel == 1) return;
  std::copy_n(x, n, copy);
  for (index_t i = 0; i < n; ++i) {
    const index_t first = std::max<index_t>(0, i - kernel / 2);
    const index_t last = std::min(n, i + kernel / 2 + 1);
    float sum = 0;
    for (index_t j = first; j < last; ++j) sum += copy[j];
    x[i] = sum / static_cast<float>(kernel);
  }
}

/// A finite score just above all n scores of a head (NaN and infinity aside).
inline float score_above(const float* x, index_t n) {
  const float top = n > 0 ? row_max(x, n) : 0.0f;
  constexpr float limit = std::numeric_limits<float>::max();
  if (!(top > -limit)) return 0;
  return top < limit ? std::nextafter(top, limit) : limit;
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::score_detail

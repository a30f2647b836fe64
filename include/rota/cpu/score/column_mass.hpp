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
  detail::row_buffers buffers;
  float* tiles = nullptr;  ///< [threads, d + row_block + 1, tile_tokens]

  template <element E, class... Parts>
  static mass_memory carve(carver& from, const backend& b, const context<E, Parts...>& c,
                           const mass_queries& q) {
    mass_memory m;
    m.rows = std::max<index_t>(0, q.queries.extent[0] * (q.queries.extent[1] / c.kv_heads()));
    const detail::token_chunks chunks{c.tokens(), c.kv_heads(), mass_chunk};
    m.parts = from.take<partial_softmax>(chunks.count() * m.rows);
    m.softmax = from.take<softmax_row>(c.kv_heads() * m.rows);
    m.buffers = detail::row_buffers::carve(from, b, c);
    m.tiles = from.take<float>(b.exec.threads * tile_floats(c.d_k()));
    return m;
  }
  static index_t tile_floats(index_t d) { return (d + row_block + 1) * tile_tokens; }
  float* tile(int worker, index_t d) const { return tiles + worker * tile_floats(d); }
};

/// Checks the window queries of a context, whatever is then made of them.
template <element E, class... Parts, class Out>
status check_queries(const context<E, Parts...>& c, const Out& out) {
  if (status s = check_mass_queries(c); !s) return s;
  if (overlaps(range_of(out), range_of(c.queries))) return {errc::overlapping_memory, "out"};
  return {};
}

/// Calls f(row, logits, visible) for each query row that sees something of the tile: the first
/// `visible` of its logits count. `product`: [row_block, tile_tokens].
template <element E, class... Parts, class F>
void for_query_rows(const mass_queries& m, const context<E, Parts...>& c, index_t head,
                    index_t first, index_t count, const float* tile, float* product, F&& f) {
  const index_t d = c.d_k(), group = m.queries.extent[1] / c.kv_heads();
  const index_t rows = m.queries.extent[0] * group;
  const float scale = m.logit_scale();
  const auto visible_to = [&](index_t row) {
    const index_t own = c.tokens() - m.queries.extent[0] + row / group;
    return std::min(count, own + 1 - first);
  };
  for (index_t begin = 0; begin < rows; begin += row_block) {
    const int n = static_cast<int>(std::min<index_t>(row_block, rows - begin));
    if (visible_to(begin + n - 1) <= 0) continue;
    const float* q[row_block];
    for (int r = 0; r < n; ++r)
      q[r] = m.queries.row((begin + r) / group, head * group + (begin + r) % group);
    multiply_rows(q, n, d, tile, product);
    for (int r = 0; r < n; ++r) {
      const index_t visible = visible_to(begin + r);
      if (visible <= 0) continue;
      float* const logits = product + r * tile_tokens;
      for (index_t t = 0; t < tile_tokens; ++t) logits[t] *= scale;
      f(begin + r, logits, visible);
    }
  }
}

/// First pass: the chunk's part of every row's softmax.
template <element E, class... Parts>
void mass_chunk_softmax(const mass_queries& q, const context<E, Parts...>& c, const mass_memory& m,
                        const detail::token_chunk& chunk, partial_softmax* parts, int worker) {
  float* const tile = m.tile(worker, c.d_k());
  std::fill_n(parts, m.rows, partial_softmax{});
  for (index_t first = chunk.first; first < chunk.last; first += tile_tokens) {
    const index_t count = std::min(tile_tokens, chunk.last - first);
    load_key_tile(c, chunk.head, first, count, tile);
    for_query_rows(q, c, chunk.head, first, count, tile, tile + c.d_k() * tile_tokens,
                   [&](index_t row, const float* logits, index_t visible) {
                     parts[row].add(logits, visible);
                   });
  }
}

/// Second pass: the chunk's probabilities, summed over the rows.
template <element E, class... Parts>
void mass_chunk_sums(const mass_queries& q, const context<E, Parts...>& c, const mass_memory& m,
                     const detail::token_chunk& chunk, float* out, int worker) {
  float* const tile = m.tile(worker, c.d_k());
  const softmax_row* const softmax = m.softmax + chunk.head * m.rows;
  for (index_t first = chunk.first; first < chunk.last; first += tile_tokens) {
    const index_t count = std::min(tile_tokens, chunk.last - first);
    float mass[tile_tokens] = {};
    load_key_tile(c, chunk.head, first, count, tile);
    for_query_rows(q, c, chunk.head, first, count, tile, tile + c.d_k() * tile_tokens,
                   [&](index_t row, float* logits, index_t visible) {
                     // Tokens that the row does not see get nothing, whatever their logits.
                     std::fill(logits + visible, logits + tile_tokens,
                               -std::numeric_limits<float>::infinity());
                     add_exp(logits, visible, softmax[row].max, softmax[row].inverse, mass);
                   });
    std::copy_n(mass, count, out + first);
  }
}

/// out [kv_heads, tokens]: sum over queries and query heads of the kv head of p_{q, token}.
template <element E, class... Parts>
void column_mass(const backend& b, const context<E, Parts...>& c, const mass_queries& q,
                 const mass_memory& m, const view<float, 2>& out) {
  const detail::token_chunks chunks{c.tokens(), c.kv_heads(), mass_chunk};
  const index_t per_head = chunks.per_head();
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

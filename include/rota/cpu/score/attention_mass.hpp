#pragma once

#include <rota/cpu/score/key_tile.hpp>
#include <rota/score/attention_mass.hpp>
#include <rota/score/row_norm.hpp>

namespace rota::cpu {

inline namespace ROTA_CPU_ISA {
namespace score_detail {

inline constexpr index_t mass_chunk = 256;

/// Scratch memory of attention_mass. The probabilities themselves are never stored: a first pass
/// over the keys finds the softmax of each query row, a second adds them up.
struct mass_memory {
  index_t rows = 0;                  ///< query rows of a kv head: window queries times G
  partial_softmax* parts = nullptr;  ///< [chunks, rows]
  softmax_row* softmax = nullptr;    ///< [kv_heads, rows]
  detail::row_buffers buffers;
  float* tiles = nullptr;  ///< [threads, d + row_block + 1, tile_tokens]

  template <element E, class... Parts>
  static mass_memory carve(carver& from, const backend& b, const context<E, Parts...>& c) {
    mass_memory m;
    m.rows = std::max<index_t>(0, c.queries.extent[0] * (c.queries.extent[1] / c.kv_heads()));
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

template <element E, class... Parts>
status check_mass(const attention_mass::params& p, const context<E, Parts...>& c,
                  const view<float, 3>& out) {
  if (!(p.scale >= 0 && p.scale <= 1e30f)) return {errc::bad_parameter, "scale"};
  if (status s = check_view(c.queries, "queries"); !s) return s;
  if (c.queries.extent[2] != c.d_k() || c.queries.extent[1] < 1 || c.queries.extent[0] > c.tokens())
    return {errc::bad_shape, "queries"};
  if (c.queries.extent[1] % c.kv_heads() != 0) return {errc::heads_not_divisible, "queries"};
  if (overlaps(range_of(out), range_of(c.queries))) return {errc::overlapping_memory, "out"};
  return {};
}

/// Calls f(row, logits, visible) for each query row that sees something of the tile: the first
/// `visible` of its logits count. `product`: [row_block, tile_tokens].
template <element E, class... Parts, class F>
void for_query_rows(const attention_mass::params& p, const context<E, Parts...>& c, index_t head,
                    index_t first, index_t count, const float* tile, float* product, F&& f) {
  const index_t d = c.d_k(), group = c.queries.extent[1] / c.kv_heads();
  const index_t rows = c.queries.extent[0] * group;
  const float scale = p.scale > 0 ? p.scale : 1 / std::sqrt(static_cast<float>(d));
  const auto visible_to = [&](index_t row) {
    const index_t own = c.tokens() - c.queries.extent[0] + row / group;
    return std::min(count, own + 1 - first);
  };
  for (index_t begin = 0; begin < rows; begin += row_block) {
    const int n = static_cast<int>(std::min<index_t>(row_block, rows - begin));
    if (visible_to(begin + n - 1) <= 0) continue;
    const float* q[row_block];
    for (int r = 0; r < n; ++r)
      q[r] = c.queries.row((begin + r) / group, head * group + (begin + r) % group);
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
void mass_chunk_softmax(const attention_mass::params& p, const context<E, Parts...>& c,
                        const mass_memory& m, const detail::token_chunk& chunk,
                        partial_softmax* parts, int worker) {
  float* const tile = m.tile(worker, c.d_k());
  std::fill_n(parts, m.rows, partial_softmax{});
  for (index_t first = chunk.first; first < chunk.last; first += tile_tokens) {
    const index_t count = std::min(tile_tokens, chunk.last - first);
    load_key_tile(c, chunk.head, first, count, m.buffers.key(worker), tile);
    for_query_rows(p, c, chunk.head, first, count, tile, tile + c.d_k() * tile_tokens,
                   [&](index_t row, const float* logits, index_t visible) {
                     parts[row].add(logits, visible);
                   });
  }
}

/// Second pass: probabilities summed over the rows, times the norms of the slices.
template <element E, class... Parts>
void mass_chunk_scores(const attention_mass::params& p, const context<E, Parts...>& c,
                       const mass_memory& m, const detail::token_chunk& chunk, int width,
                       const view<float, 3>& out, int worker) {
  float* const tile = m.tile(worker, c.d_k());
  float* const product = tile + c.d_k() * tile_tokens;
  const softmax_row* const softmax = m.softmax + chunk.head * m.rows;
  for (index_t first = chunk.first; first < chunk.last; first += tile_tokens) {
    const index_t count = std::min(tile_tokens, chunk.last - first);
    float mass[tile_tokens] = {};
    load_key_tile(c, chunk.head, first, count, m.buffers.key(worker), tile);
    for_query_rows(p, c, chunk.head, first, count, tile, product,
                   [&](index_t row, float* logits, index_t visible) {
                     // Tokens that the row does not see get nothing, whatever their logits.
                     std::fill(logits + visible, logits + tile_tokens,
                               -std::numeric_limits<float>::infinity());
                     add_exp(logits, visible, softmax[row].max, softmax[row].inverse, mass);
                   });
    for (index_t t = 0; t < count; ++t) {
      const float* const value =
          detail::float_row(c.values.row(first + t, chunk.head), c.d_v(), m.buffers.value(worker));
      float* const scores = out.row(chunk.head, first + t);
      for (index_t g = 0; g < out.extent[2]; ++g)
        scores[g] = mass[t] * row_norm(value + g * width, width);
    }
  }
}

}  // namespace score_detail
}  // namespace ROTA_CPU_ISA

/// Attention mass: what score_groups() calls. Errors besides its own: bad_parameter "scale", and
/// "queries" with bad_shape, null_view, bad_stride and heads_not_divisible.
template <element E, class... Parts>
std::size_t score_whole_groups_workspace_bytes(const backend& b, attention_mass,
                                               const attention_mass::params&,
                                               const context<E, Parts...>& c, int) {
  carver count;
  score_detail::mass_memory::carve(count, b, c);
  return count.bytes();
}

template <element E, class... Parts>
status score_whole_groups(const backend& b, attention_mass, const attention_mass::params& p,
                          const context<E, Parts...>& c, int width, const view<float, 3>& out,
                          workspace ws) {
  namespace sd = score_detail;
  if (status s = sd::check_mass(p, c, out); !s) return s;
  carver from(ws);
  const sd::mass_memory m = sd::mass_memory::carve(from, b, c);
  if (status s = from.check(); !s) return s;

  const detail::token_chunks chunks{c.tokens(), c.kv_heads(), sd::mass_chunk};
  parallel_for(b, chunks.count(), [&](index_t i, int worker) {
    sd::mass_chunk_softmax(p, c, m, chunks.at(i), m.parts + i * m.rows, worker);
  });
  const index_t per_head = chunks.per_head();
  parallel_for(b, c.kv_heads(), [&](index_t h, int) {
    for (index_t row = 0; row < m.rows; ++row)
      m.softmax[h * m.rows + row] =
          sd::join(m.parts + h * per_head * m.rows + row, per_head, m.rows);
  });
  parallel_for(b, chunks.count(), [&](index_t i, int worker) {
    sd::mass_chunk_scores(p, c, m, chunks.at(i), width, out, worker);
  });
  return {};
}

}  // namespace rota::cpu

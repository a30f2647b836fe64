#pragma once

#include <cmath>

#include <rota/cpu/attend/add_tile.hpp>
#include <rota/cpu/attend/plan.hpp>
#include <rota/cpu/simd/transpose.hpp>

// One unit of work: a tile of query rows against a chunk of one kv head's blocks; and the end of a
// row, when all its chunks are there.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

inline constexpr float log2_e = 1.44269504088896341f;
inline constexpr double ln_2 = 0.693147180559945309;

/// Row r of a tile is query token r / G, query head r % G of the kv head.
struct row_place {
  index_t token;
  index_t q_head;

  row_place(const row_tiling& t, index_t head, index_t tile, index_t row)
      : token(tile * t.tokens_a_tile + row / t.heads_a_group),
        q_head(head * t.heads_a_group + row % t.heads_a_group) {}
};

/// A query row; zero behind it up to whole vectors.
template <class Io>
void stage_row(const Io* row, index_t d_k, float* q) {
  for (index_t c = 0; c < d_k; ++c) q[c] = static_cast<float>(row[c]);
  std::fill(q + d_k, q + padded(d_k), 0.0f);
}

/// The same for the `rows` rows of a wide set, column by column. `row(r)`: where row r lies.
template <class RowOf>
void stage_wide(RowOf row, index_t rows, index_t d_k, float* q) {
  for (index_t c = 0; c < d_k; c += lanes) {
    native x[lanes] = {};
    for (index_t r = 0; r < rows; ++r)
      x[r] = d_k - c < lanes ? simd::load_part<lanes>(row(r) + c, d_k - c)
                             : simd::load<lanes>(row(r) + c);
    simd::transpose(x);
    for (index_t i = 0; i < lanes; ++i) simd::store<lanes>(q + (c + i) * lanes, x[i]);
  }
}

/// What logits are multiplied by, to base 2.
inline float scale_of(const attend_params& params, index_t d_k) {
  return (params.scale > 0 ? params.scale : 1.0f / std::sqrt(static_cast<float>(d_k))) * log2_e;
}

/// Copies the rows' queries, set by set.
template <class Store, class Io>
void stage_queries(const attend_item<Store, Io>& item, const row_tiling& t, index_t head,
                   index_t tile, float* q) {
  const index_t d_k = item.store->d_k();
  const index_t rows = t.rows_of(tile);
  const index_t stride = padded(d_k);
  for (index_t first = 0; first < rows; first += set_size(rows, first)) {
    const auto row = [&](index_t r) {
      const row_place at(t, head, tile, first + r);
      return item.q.row(at.token, at.q_head);
    };
    float* const to = q + first * stride;
    const index_t size = set_size(rows, first);
    const index_t there = std::min(size, rows - first);
    if (is_wide(size)) {
      stage_wide(row, there, d_k, to);
    } else {
      for (index_t r = 0; r < there; ++r) stage_row(row(r), d_k, to + r * stride);
      std::fill(to + there * stride, to + size * stride, 0.0f);
    }
  }
}

/// The queries of R rows for the matrix unit.
template <int R, int Terms>
void stage_set_tiles(const float* q, index_t d_k, float* tiles) {
  if constexpr (simd::has_matrix_unit)
    stage_query_tiles<R, Terms>(
        d_k,
        [&](index_t c) {
          if constexpr (is_wide(R)) return simd::load<lanes>(q + c * lanes);
          float x[R];
          for (index_t r = 0; r < R; ++r) x[r] = q[r * padded(d_k) + c];
          return repeat<R>(x);
        },
        tiles);
}

/// The queries of all sets for the matrix unit, [padded rows][query_tile_floats(d_k)].
template <int Terms>
void stage_tiles(const float* q, index_t rows, index_t d_k, float* tiles) {
  for (index_t first = 0; first < rows; first += set_size(rows, first)) {
    const float* const from = q + first * padded(d_k);
    float* const to = tiles + first * query_tile_floats(d_k);
    const int size = set_size(rows, first);
    if (size == 16) stage_set_tiles<16, Terms>(from, d_k, to);
    if (size == 8) stage_set_tiles<8, Terms>(from, d_k, to);
    if (size == 4) stage_set_tiles<4, Terms>(from, d_k, to);
  }
}

/// What each row of the tile sees; idle rows see what the last does. Null where no row is limited.
template <class Store, class Io>
const sight* stage_sights(const attend_item<Store, Io>& item, const attend_params& params,
                          const row_tiling& t, index_t tile, sight* sights) {
  const std::int64_t next = item.store->next_position();
  const std::int64_t first = next - t.tokens + tile * t.tokens_a_tile;
  const bool sees_all = !params.causal || first == next - 1;
  if (sees_all && params.sliding_window == 0) return nullptr;
  const index_t rows = t.rows_of(tile);
  for (index_t r = 0; r < padded_rows(rows); ++r)
    sights[r] = sight_of(params, first + std::min(r, rows - 1) / t.heads_a_group);
  return sights;
}

/// Fills `state` with what the rows of the tile find in the chunk.
template <class Store, class Io>
void attend_chunk(const attend_item<Store, Io>& item, const row_problem& p, const segment& s,
                  index_t chunk, const row_state& state) {
  state.clear(p.rows, p.groups, p.d_v, p.code_rank);
  token_range blocks{chunk * s.blocks_a_chunk, std::min((chunk + 1) * s.blocks_a_chunk, s.blocks)};
  if (p.sights != nullptr)
    blocks =
        blocks_in_sight(*item.store, s.head, blocks, {p.sights[0].low, p.sights[p.rows - 1].high});
  tile_walk<Store> walk(*item.store, s.head, blocks);
  while (walk.advance())
    add_tile<fixed_width<Store>, terms_of<Io, typename Store::element_type>()>(p, state, walk);
}

/// out += B times the weighted sum of the codes: what a low-rank fill says of all dropped groups
/// and of what residuals left out of the kept ones.
template <class Store>
void add_decoded(const Store& store, index_t head, index_t r, const float* code, float share,
                 float* out) {
  const auto* row = store.decoder(head) + r * store.d_v();
  const float weight = share * code[r];
  for (index_t k = 0; k < store.d_v(); ++k) out[k] += weight * static_cast<float>(row[k]);
}

/// Puts the chunks' partial results of a tile together, in order, into out and lse. Sums are made
/// in the first chunk's rows, so that an output is rounded to its element once. `states`: [chunks],
/// `stride` floats apart.
template <class Store, class Io>
void finish_tile(const attend_item<Store, Io>& item, const row_tiling& t, index_t head,
                 index_t tile, float* states, index_t chunks, index_t stride) {
  const Store& store = *item.store;
  const index_t d_v = store.d_v();
  const index_t width = t.groups > 0 ? store.group_width() : d_v;
  const index_t rows = t.rows_of(tile);
  const float* means = t.groups > 0 ? store.means(head) : nullptr;
  const auto state = [&](index_t chunk) {
    return row_state(states + chunk * stride, rows, t.groups, d_v);
  };
  for (index_t r = 0; r < rows; ++r) {
    const row_place at(t, head, tile, r);
    float max = minus_infinity;
    for (index_t c = 0; c < chunks; ++c) max = std::max(max, state(c).max[r]);
    const float base = max == minus_infinity ? 0.0f : max;
    float sum = 0;
    for (index_t c = 0; c < chunks; ++c) sum += std::exp2(state(c).max[r] - base) * state(c).sum[r];
    Io* const result = item.out.row(at.token, at.q_head);
    if (item.lse.data != nullptr)
      item.lse(at.token, at.q_head) =
          sum == 0 ? minus_infinity
                   : static_cast<float>(
                         (static_cast<double>(max) + std::log2(static_cast<double>(sum))) * ln_2);
    if (sum == 0) {
      std::fill(result, result + d_v, Io(0.0f));
      continue;
    }
    float* const out = state(0).out + r * padded(d_v);
    for (index_t c = 0; c < chunks; ++c) {
      const float share = std::exp2(state(c).max[r] - base) / sum;
      const float* row = state(c).out + r * padded(d_v);
      if (c == 0)
        for (index_t k = 0; k < d_v; ++k) out[k] *= share;
      else
        for (index_t k = 0; k < d_v; ++k) out[k] += share * row[k];
      if constexpr (requires { store.decoder(head); })
        for (index_t i = 0; i < t.code_rank; ++i)
          add_decoded(store, head, i, state(c).codes + r * padded(t.code_rank), share, out);
    }
    for (index_t g = 0; g < t.groups && means != nullptr; ++g) {
      float kept = 0;
      for (index_t c = 0; c < chunks; ++c)
        kept += std::exp2(state(c).max[r] - base) * state(c).kept_of(rows, r, g, t.groups);
      float dropped = (sum - kept) / sum;
      if (dropped < 0) dropped = 0;
      for (index_t k = g * width; k < (g + 1) * width; ++k) out[k] += dropped * means[k];
    }
    for (index_t k = 0; k < d_v; ++k) result[k] = Io(out[k]);
  }
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail

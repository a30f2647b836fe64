#pragma once

#include <rota/cuda/attend/io.cuh>
#include <rota/cuda/attend/online_rows.cuh>

namespace rota::cuda {

/// The rows of stores of floats: products one by one, in float. For tests, and to compare with.
template <int D, int W, class Swizzle, fill_sums Fill, int Extras>
struct plain_rows : online_rows<D, Extras> {
  using view = tile_view<Swizzle>;
  using rows = online_rows<D, Extras>;
  static constexpr int chunk_floats = chunk_bytes / 4;
  static constexpr int group_chunks = (W > 0 ? W : D) / chunk_floats;
  using rows::extra;
  using rows::has_means;
  using rows::o;

  struct alignas(8) pair {
    float x[2];
  };
  struct alignas(16) four {
    float x[chunk_floats];
  };
  const void* q[2];  ///< of the lane's rows; null: there is none
  io_element q_type;

  /// `row(r)`: pointer to the elements of the warp's row r, or null for rows that there are not.
  template <class Row>
  ROTA_DEVICE void load_queries(io_element type, Row&& row) {
    const int lane = static_cast<int>(ptx::lane_index());
    q_type = type;
    q[0] = row(lane / 4);
    q[1] = row(lane / 4 + 8);
  }

  /// Adds tokens `first` .. `first + 15` of a tile; those beyond its end have no weight.
  ROTA_DEVICE void add(const view& tile, int first, bool masked, const row_sights& see,
                       ptx::shared_address) {
    float p[2][4];
    logits(tile, first, p);
    rows::weigh(tile, first, masked, see, p);
    ROTA_NO_UNROLL
    for (int lane = 0; lane < 4; ++lane) {  // of the four that share the lane's rows
      const int owner = static_cast<int>(ptx::lane_index()) / 4 * 4 + lane;
      ROTA_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int half = i / 2, k = i % 2, token = first + 8 * half + 2 * lane + k;
        const float weights[2] = {ptx::shuffle(p[half][k], owner),
                                  ptx::shuffle(p[half][2 + k], owner)};
        if (token < tile.tokens) add_token(tile, token, weights);
      }
    }
  }

 private:
  /// p[half][.]: logits of tokens first + 8 half + 2 (lane % 4) and the next, for both rows.
  ROTA_DEVICE void logits(const view& tile, int first, float (&p)[2][4]) const {
    ROTA_UNROLL
    for (int i = 0; i < 8; ++i) {
      const int token = first + i / 4 * 8 + 2 * static_cast<int>(ptx::lane_index() % 4) + i % 2;
      const void* const query = q[i % 4 / 2];
      float dot = 0;
      ROTA_NO_UNROLL
      for (int c = 0; query != nullptr && token < tile.tokens && c < D / chunk_floats; ++c) {
        const auto key = ptx::shared_load<four>(tile.keys.chunk(token, c));
        with_io(q_type, [&](auto any) {
          const auto* const from = static_cast<const decltype(any)*>(query) + c * chunk_floats;
          ROTA_UNROLL
          for (int k = 0; k < chunk_floats; ++k)
            dot += key.x[k] * static_cast<float>(ptx::load(from + k));
        });
      }
      p[i / 4][i % 4] = dot;
    }
  }

  /// The lane's two columns of each fragment: 8 j + 2 (lane % 4) and the next.
  ROTA_DEVICE static int column(int j) {
    return fragment_columns * j + 2 * static_cast<int>(ptx::lane_index() % 4);
  }
  /// Two columns of the chunk that lies at `at`.
  ROTA_DEVICE static pair load_pair(ptx::shared_address at, int column) {
    return ptx::shared_load<pair>(at + static_cast<std::uint32_t>(column % chunk_floats) * 4);
  }
  ROTA_DEVICE static void add_pair(float (&to)[4], const float (&weights)[2], const pair& x) {
    ROTA_UNROLL
    for (int i = 0; i < 4; ++i) to[i] += weights[i / 2] * x.x[i % 2];
  }

  ROTA_DEVICE void add_token(const view& tile, int token, const float (&weights)[2]) {
    const unsigned mask = tile.sliced ? unsigned{tile.masks[token]} : ~0u;
    const int start = tile.sliced ? int{tile.starts[token]} : 0;
    ROTA_UNROLL
    for (int j = 0; j < D / fragment_columns; ++j) {
      const int chunk = column(j) / chunk_floats, group = chunk / group_chunks;
      if (tile.sliced && (mask >> group & 1u) == 0) continue;
      const int rank = ptx::count_bits(mask & ((1u << group) - 1u));
      const int at = (start + rank) * group_chunks + chunk % group_chunks;
      const ptx::shared_address place =
          tile.sliced ? tile.slice_chunk(at) : tile.values.chunk(token, chunk);
      add_pair(o[j], weights, load_pair(place, column(j)));
    }
    if (!tile.sliced) return;
    if constexpr (Fill == fill_sums::dropped_weight)
      if (has_means) add_dropped(mask, weights);
    if constexpr (Fill == fill_sums::codes) add_codes(tile, token, weights);
  }

  /// extra += weights where the token lacks a group.
  ROTA_DEVICE void add_dropped(unsigned mask, const float (&weights)[2]) {
    const auto lacks = [mask](int group) { return (mask >> group & 1u) != 0 ? 0.0f : 1.0f; };
    ROTA_UNROLL
    for (int j = 0; j < Extras; ++j)
      add_pair(extra[j], weights, pair{{lacks(column(j)), lacks(column(j) + 1)}});
  }

  /// extra += weights times the token's code.
  ROTA_DEVICE void add_codes(const view& tile, int token, const float (&weights)[2]) {
    ROTA_UNROLL
    for (int j = 0; j < Extras; ++j) {
      const int chunk = column(j) / chunk_floats;
      if (chunk >= tile.code_chunks) continue;
      const ptx::shared_address place =
          tile.codes + static_cast<std::uint32_t>(token * tile.code_chunks + chunk) * chunk_bytes;
      add_pair(extra[j], weights, load_pair(place, column(j)));
    }
  }
};

}  // namespace rota::cuda

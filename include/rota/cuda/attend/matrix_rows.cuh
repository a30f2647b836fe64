#pragma once

#include <rota/cuda/attend/io.cuh>
#include <rota/cuda/attend/online_rows.cuh>
#include <rota/cuda/ptx/matrix.cuh>

namespace rota::cuda {

/// The rows of stores of two-byte elements: products on the matrix unit.
template <element E, int D, int W, class Swizzle, fill_sums Fill, int Extras>
struct matrix_rows : online_rows<D, Extras> {
  using view = tile_view<Swizzle>;
  using rows = online_rows<D, Extras>;
  static constexpr int row_chunks = D / fragment_columns;  // of 16 bytes: E is two bytes wide
  static constexpr int group_chunks = W > 0 ? W / fragment_columns : row_chunks;
  using rows::extra;
  using rows::has_means;
  using rows::o;

  std::uint32_t q[D / 16][4];

  /// `row(r)`: pointer to the elements of the warp's row r, or null for rows that there are not.
  template <class Row>
  ROTA_DEVICE void load_queries(io_element type, Row&& row) {
    const int lane = static_cast<int>(ptx::lane_index());
    const void* const both[2] = {row(lane / 4), row(lane / 4 + 8)};
    with_io(type, [&](auto any) { load_rows<decltype(any)>(both); });
  }

  /// Adds tokens `first` .. `first + 15` of a tile; those beyond its end have no weight. `zeros`:
  /// 128 bytes of zeros. `masked`: whether somebody may not see some of them.
  ROTA_DEVICE void add(const view& tile, int first, bool masked, const row_sights& see,
                       ptx::shared_address zeros) {
    float p[2][4];
    logits(tile, first, p);
    rows::weigh(tile, first, masked, see, p);
    std::uint32_t weights[4];
    ROTA_UNROLL
    for (int half = 0; half < 2; ++half) {
      weights[2 * half] = ptx::pack_pair<E>(p[half][0], p[half][1]);
      weights[2 * half + 1] = ptx::pack_pair<E>(p[half][2], p[half][3]);
    }
    if (tile.sliced)
      add_slices(tile, first, weights, zeros);
    else
      add_rows(tile, first, weights, zeros);
  }

 private:
  /// Rounds the queries to the store's element, where they are of another.
  template <element Io>
  ROTA_DEVICE void load_rows(const void* const (&both)[2]) {
    const int lane = static_cast<int>(ptx::lane_index());
    ROTA_UNROLL
    for (int k = 0; k < D / 16; ++k) {
      ROTA_UNROLL
      for (int i = 0; i < 4; ++i) {
        const Io* const from = static_cast<const Io*>(both[i % 2]);
        const int column = 16 * k + 2 * (lane % 4) + 8 * (i / 2);
        q[k][i] = from == nullptr ? 0 : load_pair<E>(from + column);
      }
    }
  }

  /// p[half][.]: logits of tokens first + 8 half + 2 (lane % 4) and the next, for both rows.
  ROTA_DEVICE void logits(const view& tile, int first, float (&p)[2][4]) const {
    const int lane = static_cast<int>(ptx::lane_index());
    ROTA_UNROLL
    for (int i = 0; i < 8; ++i) p[i / 4][i % 4] = 0;
    const int token = first + lane / 16 * 8 + lane % 8;
    const int row = token < tile.tokens ? token : 0;  // any row: its logit is hidden
    ROTA_UNROLL
    for (int k = 0; k < D / 16; ++k) {
      std::uint32_t keys[4];
      ptx::ldmatrix(keys, tile.keys.chunk(row, 2 * k + lane / 8 % 2));
      ptx::mma<E>(p[0], q[k], keys[0], keys[1]);
      ptx::mma<E>(p[1], q[k], keys[2], keys[3]);
    }
  }

  /// The token and which of two chunks the lane names when 16 tokens by 16 columns are read.
  ROTA_DEVICE static int lane_token() {
    const int lane = static_cast<int>(ptx::lane_index());
    return lane / 8 % 2 * 8 + lane % 8;
  }
  ROTA_DEVICE static int lane_half() { return static_cast<int>(ptx::lane_index()) / 16; }
  ROTA_DEVICE static ptx::shared_address zero_chunk(ptx::shared_address zeros) {
    return zeros + ptx::lane_index() % 8 * chunk_bytes;
  }

  ROTA_DEVICE void add_rows(const view& tile, int first, const std::uint32_t (&weights)[4],
                            ptx::shared_address zeros) {
    const int token = first + lane_token();
    ROTA_UNROLL
    for (int j = 0; j < row_chunks / 2; ++j) {
      std::uint32_t v[4];
      ptx::ldmatrix_transposed(v, token < tile.tokens
                                      ? tile.values.chunk(token, 2 * j + lane_half())
                                      : zero_chunk(zeros));
      ptx::mma<E>(o[2 * j], weights, v[0], v[1]);
      ptx::mma<E>(o[2 * j + 1], weights, v[2], v[3]);
    }
  }

  ROTA_DEVICE void add_slices(const view& tile, int first, const std::uint32_t (&weights)[4],
                              ptx::shared_address zeros) {
    const int token = first + lane_token();
    const bool real = token < tile.tokens;
    const unsigned mask = real ? tile.masks[token] : 0u;
    const int start = real ? tile.starts[token] : 0;
    ROTA_UNROLL
    for (int j = 0; j < row_chunks / 2; ++j) {
      const int chunk = 2 * j + lane_half(), group = chunk / group_chunks;
      const int rank = ptx::count_bits(mask & ((1u << group) - 1u));
      const int at = (start + rank) * group_chunks + chunk % group_chunks;
      const bool present = (mask >> group & 1u) != 0;
      std::uint32_t v[4];
      ptx::ldmatrix_transposed(v, present ? tile.slice_chunk(at) : zero_chunk(zeros));
      ptx::mma<E>(o[2 * j], weights, v[0], v[1]);
      ptx::mma<E>(o[2 * j + 1], weights, v[2], v[3]);
    }
    if constexpr (Fill == fill_sums::dropped_weight)
      if (has_means) add_dropped(tile, first, weights);
    if constexpr (Fill == fill_sums::codes) add_codes(tile, token, weights, zeros);
  }

  /// extra += weights times a matrix of ones where a token lacks a group.
  ROTA_DEVICE void add_dropped(const view& tile, int first, const std::uint32_t (&weights)[4]) {
    const int lane = static_cast<int>(ptx::lane_index());
    unsigned lacks[4];
    ROTA_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int token = first + 2 * (lane % 4) + i % 2 + i / 2 * 8;
      lacks[i] = token < tile.tokens ? ~unsigned{tile.masks[token]} : 0u;
    }
    ROTA_UNROLL
    for (int j = 0; j < Extras; ++j) {
      const int group = 8 * j + lane / 4;
      const auto one = [group](unsigned bits) { return (bits >> group & 1u) != 0 ? 1.0f : 0.0f; };
      ptx::mma<E>(extra[j], weights, ptx::pack_pair<E>(one(lacks[0]), one(lacks[1])),
                  ptx::pack_pair<E>(one(lacks[2]), one(lacks[3])));
    }
  }

  /// extra += weights times the tokens' codes.
  ROTA_DEVICE void add_codes(const view& tile, int token, const std::uint32_t (&weights)[4],
                             ptx::shared_address zeros) {
    ROTA_UNROLL
    for (int j = 0; j < Extras / 2; ++j) {
      const int chunk = 2 * j + lane_half();
      const bool there = token < tile.tokens && chunk < tile.code_chunks;
      std::uint32_t codes[4];
      ptx::ldmatrix_transposed(
          codes, there ? tile.codes + static_cast<std::uint32_t>(token * tile.code_chunks + chunk) *
                                          chunk_bytes
                       : zero_chunk(zeros));
      ptx::mma<E>(extra[2 * j], weights, codes[0], codes[1]);
      ptx::mma<E>(extra[2 * j + 1], weights, codes[2], codes[3]);
    }
  }
};

}  // namespace rota::cuda

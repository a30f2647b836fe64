#pragma once

#include <rota/cuda/attend/tile.cuh>
#include <rota/cuda/ptx/math.cuh>
#include <rota/cuda/ptx/matrix.cuh>

namespace rota::cuda {

/// What is summed up besides values: nothing (a store of whole rows), the weight that lacks each
/// group (for mean fill), or the tokens' codes (low-rank fill).
enum class fill_sums { none, dropped_weight, codes };

/// Rows of a fragment of the matrix unit.
inline constexpr int fragment_rows = 16;
/// Columns of a fragment of sums.
inline constexpr int fragment_columns = 8;

/// Which positions the lane's two rows see.
struct row_sights {
  index_t last[2];   ///< positions up to this
  index_t first[2];  ///< and from this on
};

/// A warp's 16 query rows, and what it has summed up of the tokens that it was given: the online
/// softmax, in powers of two. Lane l has rows l / 4 and l / 4 + 8, of each 8 columns two.
template <element E, int D, int W, class Swizzle, fill_sums Fill, int Extras>
struct warp_rows {
  using view = tile_view<Swizzle>;
  static constexpr int row_chunks = D / fragment_columns;  // of 16 bytes: E is two bytes wide
  static constexpr int group_chunks = W > 0 ? W / fragment_columns : row_chunks;
  static constexpr int extras = Extras > 0 ? Extras : 1;

  std::uint32_t q[D / 16][4];
  float o[D / fragment_columns][4];
  float extra[extras][4];  ///< of fill_sums, 8 groups or code numbers each
  float max[2];            ///< of the logits, in units of log2
  float sum[2];
  float scale;     ///< of the logits, times log2(e)
  bool has_means;  ///< whether the dropped weight is asked for

  /// `row(r)`: pointer to the floats of the warp's row r, or null for rows that there are not.
  template <class Row>
  ROTA_DEVICE void load_queries(Row&& row) {
    const int lane = static_cast<int>(ptx::lane_index());
    const float* const rows[2] = {row(lane / 4), row(lane / 4 + 8)};
    ROTA_UNROLL
    for (int k = 0; k < D / 16; ++k) {
      ROTA_UNROLL
      for (int i = 0; i < 4; ++i) {
        const float* const from = rows[i % 2];
        const int column = 16 * k + 2 * (lane % 4) + 8 * (i / 2);
        q[k][i] = from == nullptr
                      ? 0
                      : ptx::pack_pair<E>(ptx::load(from + column), ptx::load(from + column + 1));
      }
    }
  }

  ROTA_DEVICE void clear() {
    ROTA_UNROLL
    for (int j = 0; j < D / fragment_columns; ++j)
      for (int i = 0; i < 4; ++i) o[j][i] = 0;
    ROTA_UNROLL
    for (int j = 0; j < extras; ++j)
      for (int i = 0; i < 4; ++i) extra[j][i] = 0;
    for (int i = 0; i < 2; ++i) {
      max[i] = ptx::minus_infinity;
      sum[i] = 0;
    }
  }

  /// Adds tokens `first` .. `first + 15` of a tile; those beyond its end have no weight. `zeros`:
  /// 128 bytes of zeros. `masked`: whether somebody may not see some of them.
  ROTA_DEVICE void add(const view& tile, int first, bool masked, const row_sights& see,
                       ptx::shared_address zeros) {
    float p[2][4];
    logits(tile, first, p);
    hide(tile, first, masked, see, p);
    raise_max(p);
    std::uint32_t weights[4];
    ROTA_UNROLL
    for (int half = 0; half < 2; ++half) {
      ROTA_UNROLL
      for (int i = 0; i < 4; ++i) {
        p[half][i] = ptx::exp2(p[half][i] - base(i / 2));
        sum[i / 2] += p[half][i];
      }
      weights[2 * half] = ptx::pack_pair<E>(p[half][0], p[half][1]);
      weights[2 * half + 1] = ptx::pack_pair<E>(p[half][2], p[half][3]);
    }
    if (tile.sliced)
      add_slices(tile, first, weights, zeros);
    else
      add_rows(tile, first, weights, zeros);
  }

 private:
  /// What is subtracted from the logits: finite, so that rows that see nothing stay empty.
  ROTA_DEVICE float base(int row) const {
    return max[row] == ptx::minus_infinity ? 0.0f : max[row];
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

  /// Scales the logits; -inf where a token is not there or not seen.
  ROTA_DEVICE void hide(const view& tile, int first, bool masked, const row_sights& see,
                        float (&p)[2][4]) const {
    ROTA_UNROLL
    for (int i = 0; i < 8; ++i) {
      const int token = first + i / 4 * 8 + 2 * static_cast<int>(ptx::lane_index() % 4) + i % 2;
      const int row = i % 4 / 2;
      float& x = p[i / 4][i % 4];
      x = token < tile.tokens ? x * scale : ptx::minus_infinity;
      if (masked && token < tile.tokens) {
        const index_t at = tile.position(token);
        if (at > see.last[row] || at < see.first[row]) x = ptx::minus_infinity;
      }
    }
  }

  ROTA_DEVICE void raise_max(const float (&p)[2][4]) {
    float top[2] = {max[0], max[1]};
    ROTA_UNROLL
    for (int i = 0; i < 8; ++i) {
      const float x = p[i / 4][i % 4];
      float& t = top[i % 4 / 2];
      t = x > t ? x : t;
    }
    ROTA_UNROLL
    for (int row = 0; row < 2; ++row) {
      ROTA_UNROLL
      for (int step = 1; step < 4; step *= 2) {
        const float other = ptx::shuffle_xor(top[row], step);
        top[row] = other > top[row] ? other : top[row];
      }
    }
    if (!ptx::any(top[0] > max[0] || top[1] > max[1])) return;
    float shrink[2];
    ROTA_UNROLL
    for (int row = 0; row < 2; ++row) {
      const float before = max[row];
      max[row] = top[row];
      shrink[row] = ptx::exp2(before - base(row));  // 0 for the first tokens
      sum[row] *= shrink[row];
    }
    ROTA_UNROLL
    for (int j = 0; j < D / fragment_columns; ++j)
      for (int i = 0; i < 4; ++i) o[j][i] *= shrink[i / 2];
    ROTA_UNROLL
    for (int j = 0; j < extras; ++j)
      for (int i = 0; i < 4; ++i) extra[j][i] *= shrink[i / 2];
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

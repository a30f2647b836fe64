#pragma once

#include <rota/cuda/attend/tile.cuh>
#include <rota/cuda/ptx/math.cuh>
#include <rota/cuda/ptx/warp.cuh>

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
/// softmax, in powers of two. Lane l has rows l / 4 and l / 4 + 8, of each 8 columns two. How
/// logits and sums are multiplied is the element's: see matrix_rows and plain_rows.
template <int D, int Extras>
struct online_rows {
  static constexpr int extras = Extras > 0 ? Extras : 1;

  float o[D / fragment_columns][4];
  float extra[extras][4];  ///< of fill_sums, 8 groups or code numbers each
  float max[2];            ///< of the logits, in units of log2
  float sum[2];
  float scale;     ///< of the logits, times log2(e)
  bool has_means;  ///< whether the dropped weight is asked for

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

  /// From logits to weights, p[half][.] of tokens first + 8 half + 2 (lane % 4) and the next, for
  /// both rows. `masked`: whether somebody may not see some of them.
  template <class View>
  ROTA_DEVICE void weigh(const View& tile, int first, bool masked, const row_sights& see,
                         float (&p)[2][4]) {
    hide(tile, first, masked, see, p);
    raise_max(p);
    ROTA_UNROLL
    for (int half = 0; half < 2; ++half) {
      ROTA_UNROLL
      for (int i = 0; i < 4; ++i) {
        p[half][i] = ptx::exp2(p[half][i] - base(i / 2));
        sum[i / 2] += p[half][i];
      }
    }
  }

 private:
  /// What is subtracted from the logits: finite, so that rows that see nothing stay empty.
  ROTA_DEVICE float base(int row) const {
    return max[row] == ptx::minus_infinity ? 0.0f : max[row];
  }

  /// Scales the logits; -inf where a token is not there or not seen.
  template <class View>
  ROTA_DEVICE void hide(const View& tile, int first, bool masked, const row_sights& see,
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
};

}  // namespace rota::cuda

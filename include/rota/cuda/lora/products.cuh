#pragma once

#include <rota/cuda/lora/route.cuh>
#include <rota/cuda/product/tile.cuh>

// The two products of an adapter, for the tokens of one subspace at a time: down to codes, up to
// outputs.

namespace rota::cuda {

/// The rows of one subspace, and where its numbers begin in the rows of the way up: on multiples of
/// 8, which the matrix unit takes at once.
struct subspace_shape {
  index_t rows = 0;
  ROTA_HD index_t padded() const { return (rows + 7) / 8 * 8; }
};

/// A as it is.
template <element E>
struct down_rows {
  const E* data;
  index_t stride;

  ROTA_DEVICE float operator()(index_t, index_t row, index_t k) const {
    return static_cast<float>(ptx::load(data + row * stride + k));
  }
};

/// B, whose rows are the columns of what is stored, each subspace padded.
template <element E>
struct up_rows {
  const E* data;
  index_t stride;
  subspace_shape shape;

  ROTA_DEVICE float operator()(index_t, index_t row, index_t k) const {
    const index_t part = k / shape.padded(), i = k % shape.padded();
    if (i >= shape.rows) return 0;
    return static_cast<float>(ptx::load(data + (part * shape.rows + i) * stride + row));
  }
};

/// codes [slots, tokens, padded] of the entries: A_i x, times gate and scale, zero behind.
template <int Rows>
struct lora_down_kernel {
  using product = product_tile<float, Rows>;
  static constexpr int threads = product::threads;
  static constexpr int least_blocks = 2;

  struct arguments {
    routed_lists lists;
    const float* x;
    index_t x_stride;
    split_rows down;  ///< [r, in]
    subspace_shape shape;
    float scale;
    float* codes;
    std::uint32_t* fault;
  };

  /// Blocks: tiles of entries, tiles of rows, slots.
  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const int slot = static_cast<int>(ptx::block_z());
    const entry_tile t = entry_tile::find(a.lists, slot, ptx::block_x());
    if (t.count == 0) return;
    const index_t first_row = index_t{ptx::block_y()} * Rows;
    typename product::fragments sums;
    product{ptx::shared_base()}.multiply(
        sums, [&](int j) { return a.x + a.lists.token(slot, t.first + j) * a.x_stride; }, t.count,
        a.down, 0, t.subspace * a.shape.rows + first_row);
    ROTA_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int own = product::fragments::token(half);
      if (own >= t.count) continue;
      const index_t entry = t.first + own;
      const float factor = a.scale * a.lists.gate(a.lists.token(slot, entry), slot);
      float* const code = a.codes + (slot * a.lists.tokens + entry) * a.shape.padded();
      ROTA_UNROLL
      for (int j = 0; j < product::fragments::columns; ++j) {
        ROTA_UNROLL
        for (int k = 0; k < 2; ++k) {
          const index_t row = first_row + product::fragments::row(j, k);
          if (row < a.shape.padded())
            ptx::store(code + row, row < a.shape.rows ? factor * sums.c[j][2 * half + k] : 0.0f);
        }
      }
    }
  }
};

/// y of a slot's tokens += B_i codes. A token is in a slot's list once, so nobody else writes it.
struct lora_up_kernel {
  using product = product_tile<float>;
  static constexpr int threads = product::threads;
  static constexpr int least_blocks = 2;

  struct arguments {
    routed_lists lists;
    int slot;
    const float* codes;
    split_rows up;  ///< [out, N padded]
    subspace_shape shape;
    float* y;
    index_t y_stride;
    std::uint32_t* fault;
  };

  /// Blocks: tiles of entries, tiles of outputs.
  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const entry_tile t = entry_tile::find(a.lists, a.slot, ptx::block_x());
    if (t.count == 0) return;
    const index_t first_out = index_t{ptx::block_y()} * split_rows::tile;
    const float* const codes = a.codes + (a.slot * a.lists.tokens + t.first) * a.shape.padded();
    product::fragments sums;
    product{ptx::shared_base()}.multiply(sums, [&](int j) { return codes + j * a.shape.padded(); },
                                         t.count, a.up, 0, first_out,
                                         {t.subspace * a.shape.padded(), a.shape.padded()});
    ROTA_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int own = product::fragments::token(half);
      if (own >= t.count) continue;
      float* const y = a.y + a.lists.token(a.slot, t.first + own) * a.y_stride;
      ROTA_UNROLL
      for (int j = 0; j < product::fragments::columns; ++j) {
        ROTA_UNROLL
        for (int k = 0; k < 2; ++k) {
          const index_t out = first_out + product::fragments::row(j, k);
          if (out < a.up.rows) ptx::store(y + out, ptx::load(y + out) + sums.c[j][2 * half + k]);
        }
      }
    }
  }
};

}  // namespace rota::cuda

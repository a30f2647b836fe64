#pragma once

#include <rota/cuda/length.cuh>
#include <rota/cuda/product/tile.cuh>

namespace rota::cuda {

/// Rows of floats on the left of a product: hidden states, say.
struct state_rows {
  const float* data = nullptr;
  index_t stride = 0;
  length_ref count;

  ROTA_DEVICE const float* row(index_t i) const { return data + i * stride; }
};

/// out [count, right.rows] = left right', one tile a block.
struct rows_product_kernel {
  using product = product_tile<float>;
  static constexpr int threads = product::threads;
  static constexpr int least_blocks = 2;

  struct arguments {
    state_rows left;
    split_rows right;
    float* out;
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t first = index_t{ptx::block_x()} * product::tokens;
    const index_t first_row = index_t{ptx::block_y()} * split_rows::tile;
    const index_t left = a.left.count.get(a.fault) - first;
    if (left <= 0) return;
    const int count = static_cast<int>(left < product::tokens ? left : product::tokens);
    product_fragments<> sums;
    product{ptx::shared_base()}.multiply(
        sums, [&](int j) { return a.left.row(first + j); }, count, a.right, 0, first_row);
    ROTA_UNROLL
    for (int j = 0; j < 8; ++j) {
      ROTA_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int token = product_fragments<>::token(i / 2);
        const index_t row = first_row + product_fragments<>::row(j, i % 2);
        if (token < count && row < a.right.rows)
          ptx::store(a.out + (first + token) * a.right.rows + row, sums.c[j][i]);
      }
    }
  }
};

/// Multiplies all rows of `left`, whose rows lie on multiples of 16 bytes.
inline status launch_product(const backend& b, const state_rows& left, const split_rows& right,
                             float* out) {
  using product = rows_product_kernel::product;
  return launch<rows_product_kernel>(
      b, {blocks_of(left.count.capacity, product::tokens), blocks_of(right.rows, split_rows::tile)},
      {left, right, out, b.fault}, product::shared_bytes);
}

}  // namespace rota::cuda

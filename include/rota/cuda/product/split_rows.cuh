#pragma once

#include <rota/core/element.hpp>
#include <rota/core/workspace.hpp>
#include <rota/cuda/launch.cuh>
#include <rota/cuda/ptx/memory.cuh>
#include <rota/cuda/ptx/thread.cuh>

// Floats for the matrix unit, which multiplies bf16: x = high + low with an error below 2^-16 |x|,
// so that high high + high low + low high is nearly a product of floats. No scale is needed: bf16
// has the range of a float. (Infinities become NaN.)

namespace rota::cuda {

/// Rows of floats that many tiles of tokens are multiplied with, split once: [matrices, padded
/// rows, padded depth], zero where nothing is.
struct split_rows {
  /// Rows and depth of a tile of a product.
  static constexpr index_t tile = 64;

  bf16* high = nullptr;
  bf16* low = nullptr;
  index_t rows = 0, depth = 0;

  ROTA_HD static index_t padded(index_t n) { return (n + tile - 1) / tile * tile; }
  ROTA_HD index_t matrix_elements() const { return padded(rows) * padded(depth); }
  ROTA_HD index_t offset(index_t matrix, index_t row, index_t k) const {
    return matrix * matrix_elements() + row * padded(depth) + k;
  }

  static split_rows carve(carver& from, index_t matrices, index_t rows, index_t depth) {
    split_rows s;
    s.rows = rows;
    s.depth = depth;
    s.high = from.take<bf16>(matrices * s.matrix_elements());
    s.low = from.take<bf16>(matrices * s.matrix_elements());
    return s;
  }
};

struct split_pair {
  bf16 high, low;
};

ROTA_DEVICE split_pair split(float x) {
  const bf16 high(x);
  return {high, bf16(x - static_cast<float>(high))};
}

/// Rows of one view, or of two: the second's start at row `more_from`. Zero between and behind.
struct weight_rows {
  const float* data;
  index_t stride, rows;
  const float* more = nullptr;
  index_t more_stride = 0, more_from = 0, more_rows = 0;

  explicit weight_rows(const view<const float, 2>& v)
      : data(v.data), stride(v.stride[0]), rows(v.extent[0]) {}
  weight_rows(const view<const float, 2>& v, const view<const float, 2>& second, index_t from)
      : data(v.data),
        stride(v.stride[0]),
        rows(v.extent[0]),
        more(second.data),
        more_stride(second.stride[0]),
        more_from(from),
        more_rows(second.extent[0]) {}

  ROTA_DEVICE float operator()(index_t, index_t row, index_t k) const {
    if (row < rows) return ptx::load(data + row * stride + k);
    const index_t i = row - more_from;
    return i >= 0 && i < more_rows ? ptx::load(more + i * more_stride + k) : 0.0f;
  }
};

/// Splits what `from(matrix, row, k)` says.
template <class From>
struct split_rows_kernel {
  static constexpr int threads = 256;
  static constexpr int least_blocks = 2;

  struct arguments {
    From from;
    split_rows to;
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t i = index_t{ptx::block_x()} * threads + ptx::thread_index();
    const index_t depth = split_rows::padded(a.to.depth), row = i / depth, k = i % depth;
    if (row >= split_rows::padded(a.to.rows)) return;
    const index_t matrix = ptx::block_y();
    const bool exists = row < a.to.rows && k < a.to.depth;
    const split_pair x = split(exists ? a.from(matrix, row, k) : 0.0f);
    ptx::store(a.to.high + a.to.offset(matrix, row, k), x.high);
    ptx::store(a.to.low + a.to.offset(matrix, row, k), x.low);
  }
};

template <class From>
status launch_split(const backend& b, index_t matrices, const From& from, const split_rows& to) {
  using kernel = split_rows_kernel<From>;
  return launch<kernel>(b, {blocks_of(to.matrix_elements(), kernel::threads), matrices},
                        {from, to, b.fault});
}

}  // namespace rota::cuda

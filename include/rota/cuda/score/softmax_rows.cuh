#pragma once

#include <rota/cuda/launch.cuh>
#include <rota/cuda/length.cuh>
#include <rota/cuda/ptx/math.cuh>
#include <rota/cuda/ptx/memory.cuh>
#include <rota/cuda/ptx/warp.cuh>

// Softmax rows that many blocks see a part of. All logits are to base 2.

namespace rota::cuda {

inline constexpr float log2_e = 1.4426950408889634f;
inline constexpr float ln_2 = 0.6931471805599453f;

/// The largest logit and the sum of powers below it.
struct alignas(8) softmax_part {
  float max = ptx::minus_infinity;
  float sum = 0;

  ROTA_DEVICE void add(float logit) { add(softmax_part{logit, 1.0f}); }
  ROTA_DEVICE void add(const softmax_part& other) {
    const float top = other.max > max ? other.max : max;
    if (other.max != other.max) sum = other.max;  // one NaN makes all of the row NaN
    if (top == ptx::minus_infinity) {
      sum += other.sum;
      return;
    }
    sum = sum * ptx::exp2(max - top) + other.sum * ptx::exp2(other.max - top);
    max = top;
  }
  /// With the parts of the lanes whose numbers differ by `step`.
  ROTA_DEVICE void add_lane(int step) {
    add(softmax_part{ptx::shuffle_xor(max, step), ptx::shuffle_xor(sum, step)});
  }
  ROTA_DEVICE float log2_sum() const {
    return sum == 0 ? ptx::minus_infinity : max + ptx::log2(sum);
  }
};

/// What a logit needs to become a probability.
struct alignas(8) softmax_row {
  float max = 0;
  float inverse = 0;  ///< of the sum; 0 for a row that sees nothing
};

ROTA_DEVICE float probability(float logit, const softmax_row& row) {
  return row.inverse == 0 ? 0.0f : ptx::exp2(logit - row.max) * row.inverse;
}

/// Joins the parts of rows, a warp a row, always in the same order.
struct join_parts_kernel {
  static constexpr int threads = 128;
  static constexpr int least_blocks = 4;

  struct arguments {
    const softmax_part* parts;  ///< of matrix m: from m * parts_of_row * rows on
    index_t rows, parts_of_row;
    index_t row_stride, part_stride;
    softmax_row* out;  ///< [matrices, rows]
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t row = index_t{ptx::block_x()} * (threads / ptx::warp_threads) + ptx::warp_index();
    if (row >= a.rows) return;
    const index_t matrix = ptx::block_y();
    const softmax_part* const parts =
        a.parts + matrix * a.parts_of_row * a.rows + row * a.row_stride;
    softmax_part sum;
    for (index_t i = ptx::lane_index(); i < a.parts_of_row; i += ptx::warp_threads)
      sum.add(ptx::load(parts + i * a.part_stride));
    ROTA_UNROLL
    for (int step = 1; step < ptx::warp_threads; step *= 2) sum.add_lane(step);
    if (ptx::lane_index() != 0) return;
    const bool empty = sum.max == ptx::minus_infinity && sum.sum == 0;
    ptx::store(a.out + matrix * a.rows + row,
               empty ? softmax_row{} : softmax_row{sum.max, 1 / sum.sum});
  }
};

inline status launch_join(const backend& b, index_t matrices,
                          const join_parts_kernel::arguments& a) {
  constexpr int rows = join_parts_kernel::threads / ptx::warp_threads;
  return launch<join_parts_kernel>(b, {blocks_of(a.rows, rows), matrices}, a);
}

}  // namespace rota::cuda

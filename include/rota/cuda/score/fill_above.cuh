#pragma once

#include <rota/cuda/launch.cuh>
#include <rota/cuda/length.cuh>
#include <rota/cuda/ptx/math.cuh>
#include <rota/cuda/ptx/warp.cuh>

namespace rota::cuda {

/// The float just above x; the largest stays. x finite.
ROTA_DEVICE float just_above(float x) {
  if (x == 0) return bit_cast<float>(1u);
  const auto bits = bit_cast<std::uint32_t>(x);
  if (x < 0) return bit_cast<float>(bits - 1);
  return bits == 0x7f7fffffu ? x : bit_cast<float>(bits + 1);
}

/// Gives the first and the last tokens of a head a finite score just above all others of the head
/// (NaN and infinity aside; 0 where there are none): a block a head.
struct fill_above_kernel {
  static constexpr int threads = 1024;
  static constexpr int least_blocks = 1;
  static constexpr int warps = threads / ptx::warp_threads;
  static constexpr std::uint32_t shared_bytes = warps * sizeof(float);

  struct arguments {
    float* scores;
    index_t head;         ///< stride
    index_t first, last;  ///< how many at either end
    const index_t* own;   ///< where the last ones begin, in device memory; null: `last` of them
    length_ref tokens;
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t n = a.tokens.get(a.fault);
    const index_t from = a.first < n ? a.first : n;
    const index_t begin = a.own != nullptr ? ptx::load(a.own) : n - a.last;
    const index_t to = begin < from ? from : begin < n ? begin : n;
    float* const scores = a.scores + ptx::block_x() * a.head;
    const float top = largest(scores, from, to);
    const bool finite = top - top == 0;
    const float above = finite ? just_above(top) : top > 0 ? bit_cast<float>(0x7f7fffffu) : 0.0f;
    for (index_t i = ptx::thread_index(); i < n; i += threads)
      if (i < from || i >= to) ptx::store(scores + i, above);
  }

 private:
  /// Of scores from .. to - 1, in every thread.
  ROTA_DEVICE static float largest(const float* scores, index_t from, index_t to) {
    float top = ptx::minus_infinity;
    for (index_t i = from + ptx::thread_index(); i < to; i += threads) {
      const float x = ptx::load(scores + i);
      top = x > top ? x : top;
    }
    const ptx::shared_array<float> tops{ptx::shared_base()};
    top = ptx::warp_max(top);
    if (ptx::lane_index() == 0) tops.set(static_cast<int>(ptx::warp_index()), top);
    ptx::sync_block();
    for (int w = 0; w < warps; ++w) {
      const float x = tops[w];
      top = x > top ? x : top;
    }
    return top;
  }
};

inline status launch_fill_above(const backend& b, index_t heads,
                                const fill_above_kernel::arguments& a) {
  return launch<fill_above_kernel>(b, {heads}, a, fill_above_kernel::shared_bytes);
}

}  // namespace rota::cuda

#pragma once

#include <rota/cuda/ptx/memory.cuh>
#include <rota/cuda/ptx/warp.cuh>

namespace rota::cuda {

/// Sum of the values of the block's earlier threads, and of all. Called by all of Threads threads;
/// `scratch`: a 4-byte word of shared memory for each warp.
struct block_sum {
  std::uint32_t before = 0, total = 0;
};

template <int Threads>
ROTA_DEVICE block_sum block_exclusive_sum(std::uint32_t value, ptx::shared_address scratch) {
  constexpr int warps = Threads / ptx::warp_threads;
  const ptx::shared_array<std::uint32_t> sums{scratch};
  const int warp = static_cast<int>(ptx::warp_index());
  block_sum s;
  s.before = ptx::warp_exclusive_sum(value);
  if (ptx::lane_index() == ptx::warp_threads - 1) sums.set(warp, s.before + value);
  ptx::sync_block();
  for (int w = 0; w < warps; ++w) {
    const std::uint32_t sum = sums[w];
    s.before += w < warp ? sum : 0;
    s.total += sum;
  }
  ptx::sync_block();  // the scratch may be used again
  return s;
}

}  // namespace rota::cuda

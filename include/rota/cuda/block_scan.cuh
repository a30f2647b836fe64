#pragma once

#include <type_traits>

#include <rota/cuda/ptx/memory.cuh>
#include <rota/cuda/ptx/warp.cuh>

namespace rota::cuda {

/// Sum of the values of the block's earlier threads, and of all. Called by all of Threads threads;
/// `scratch`: a T in shared memory for each warp.
template <class T = std::uint32_t>
struct block_sum {
  T before = 0, total = 0;
};

template <int Threads, class T = std::uint32_t>
ROTA_DEVICE block_sum<T> block_exclusive_sum(std::type_identity_t<T> value,
                                             ptx::shared_address scratch) {
  constexpr int warps = Threads / ptx::warp_threads;
  const ptx::shared_array<T> sums{scratch};
  const int warp = static_cast<int>(ptx::warp_index());
  block_sum<T> s;
  s.before = ptx::warp_exclusive_sum(value);
  if (ptx::lane_index() == ptx::warp_threads - 1) sums.set(warp, s.before + value);
  ptx::sync_block();
  for (int w = 0; w < warps; ++w) {
    const T sum = sums[w];
    s.before += w < warp ? sum : 0;
    s.total += sum;
  }
  ptx::sync_block();  // the scratch may be used again
  return s;
}

}  // namespace rota::cuda

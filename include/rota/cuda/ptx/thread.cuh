#pragma once

#include <rota/cuda/ptx/config.cuh>
#if !defined(__CUDACC__)
#include <rota/cuda/ptx/machine.cuh>
#endif

// Where a thread stands, and barriers.

namespace rota::cuda::ptx {

ROTA_DEVICE unsigned thread_index() {
#if defined(__CUDACC__)
  return threadIdx.x;
#else
  return running->place().thread;
#endif
}

ROTA_DEVICE unsigned block_threads() {
#if defined(__CUDACC__)
  return blockDim.x;
#else
  return running->place().threads;
#endif
}

ROTA_DEVICE unsigned lane_index() {
  return thread_index() % warp_threads;
}
ROTA_DEVICE unsigned warp_index() {
  return thread_index() / warp_threads;
}

ROTA_DEVICE unsigned block_x() {
#if defined(__CUDACC__)
  return blockIdx.x;
#else
  return running->place().block.x;
#endif
}
ROTA_DEVICE unsigned block_y() {
#if defined(__CUDACC__)
  return blockIdx.y;
#else
  return running->place().block.y;
#endif
}
ROTA_DEVICE unsigned block_z() {
#if defined(__CUDACC__)
  return blockIdx.z;
#else
  return running->place().block.z;
#endif
}
ROTA_DEVICE unsigned blocks_x() {
#if defined(__CUDACC__)
  return gridDim.x;
#else
  return running->place().grid.x;
#endif
}
ROTA_DEVICE unsigned blocks_y() {
#if defined(__CUDACC__)
  return gridDim.y;
#else
  return running->place().grid.y;
#endif
}

/// Every thread of the block arrives before any goes on; memory written before is seen after.
ROTA_DEVICE void sync_block() {
#if defined(__CUDACC__)
  __syncthreads();
#else
  running->block_barrier();
#endif
}

/// The same, and tells every thread whether the predicate holds in any.
ROTA_DEVICE bool sync_block_or(bool predicate) {
#if defined(__CUDACC__)
  return __syncthreads_or(predicate) != 0;
#else
  return running->block_barrier_or(predicate);
#endif
}

/// The same for the lanes of a warp.
ROTA_DEVICE void sync_warp() {
#if defined(__CUDACC__)
  __syncwarp();
#else
  running->warp_barrier();
#endif
}

}  // namespace rota::cuda::ptx

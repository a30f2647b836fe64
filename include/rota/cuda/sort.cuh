#pragma once

#include <algorithm>

#include <rota/cuda/scan.cuh>

#if defined(__CUDACC__)
#include <cub/device/device_radix_sort.cuh>
#endif

// The seam to CUB for sorting, as scan.cuh is for sums.

namespace rota::cuda {

/// Scratch bytes of sort_keys(). CUB is asked where it is.
inline std::size_t sort_keys_bytes(const backend& b, index_t n) {
#if defined(__CUDACC__)
  std::size_t bytes = 0;
  forget_old_error();
  cub::DoubleBuffer<std::uint32_t> keys;
  (void)cub::DeviceRadixSort::SortKeys(nullptr, bytes, keys, n, 0, 32, b.stream);
  return bytes;
#else
  (void)b;
  return n > 0 ? 1 : 0;
#endif
}

/// Sorts n keys, smallest first, on the backend's stream. `sorted` becomes the one of the two
/// arrays where they then lie; what the other holds is lost.
inline status sort_keys(const backend& b, std::uint32_t* keys, std::uint32_t* spare, index_t n,
                        void* scratch, std::size_t bytes, const std::uint32_t*& sorted) {
#if defined(__CUDACC__)
  cub::DoubleBuffer<std::uint32_t> both(keys, spare);
  forget_old_error();
  const cudaError_t e = cub::DeviceRadixSort::SortKeys(scratch, bytes, both, n, 0, 32, b.stream);
  if (e != cudaSuccess) return refused_by_runtime(e);
  sorted = both.Current();
#else
  (void)b;
  (void)spare;
  (void)scratch;
  (void)bytes;
  std::sort(keys, keys + n);
  sorted = keys;
#endif
  return {};
}

}  // namespace rota::cuda

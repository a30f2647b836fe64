#pragma once

#include <numeric>

#include <rota/cuda/backend.cuh>

#if defined(__CUDACC__)
#include <cub/device/device_scan.cuh>
#endif

// The seam to CUB: device-wide primitives that the host launches. Where there is no GPU the
// standard library does the same on the same memory.

namespace rota::cuda {

/// Before every call of CUB, which asks the runtime for the last error of any call, also where it
/// only counts bytes: an old one of the caller's would be taken for its own, in the middle of an
/// operator. CUB clears that error as well. One that a device does not recover from stays.
inline void forget_old_error() {
#if defined(__CUDACC__)
  (void)cudaGetLastError();
#endif
}

/// Scratch bytes of exclusive_sum(). The same on every machine: CUB is asked where it is.
template <class T>
std::size_t exclusive_sum_bytes(const backend& b, index_t n) {
#if defined(__CUDACC__)
  std::size_t bytes = 0;
  forget_old_error();
  (void)cub::DeviceScan::ExclusiveSum(nullptr, bytes, static_cast<const T*>(nullptr),
                                      static_cast<T*>(nullptr), n, b.stream);
  return bytes;
#else
  (void)b;
  return n > 0 ? 1 : 0;
#endif
}

/// out[i] = in[0] + ... + in[i - 1], i < n, on the backend's stream. May be in place.
template <class T>
status exclusive_sum(const backend& b, const T* in, T* out, index_t n, void* scratch,
                     std::size_t bytes) {
#if defined(__CUDACC__)
  forget_old_error();
  const cudaError_t e = cub::DeviceScan::ExclusiveSum(scratch, bytes, in, out, n, b.stream);
  if (e != cudaSuccess) return refused_by_runtime(e);
#else
  (void)b;
  (void)scratch;
  (void)bytes;
  std::exclusive_scan(in, in + n, out, T{});
#endif
  return {};
}

}  // namespace rota::cuda

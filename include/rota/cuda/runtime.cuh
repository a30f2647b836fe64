#pragma once

#include <cstddef>

#include <rota/core/status.hpp>

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#else
#include <rota/cuda/ptx/machine.cuh>
#endif

// The few calls of the CUDA runtime that operators make. None allocates or waits. Without nvcc they
// go to an emulated device, where memory is the host's.

namespace rota::cuda {

#if defined(__CUDACC__)
using stream_t = cudaStream_t;
#else
using stream_t = void*;
#endif

#if defined(__CUDACC__)
/// The status of a call that the runtime refused: its argument is CUDA's name of the error. The
/// error does not stay behind for somebody's later call.
inline status refused_by_runtime(cudaError_t e) {
  (void)cudaGetLastError();
  return {errc::device_failure, cudaGetErrorName(e)};
}
#endif

/// What operators must know of a device.
struct device_traits {
  int device = 0;
  int multiprocessors = 0;
  int architecture = 0;  ///< 80, 90, ...
  /// Architecture that the code was compiled for which this device runs of our program: a newer
  /// device may run older code.
  int code_architecture = 0;
  int shared_bytes = 0;  ///< that a block may have at most
  /// Shared memory of a multiprocessor, of which each block takes as much as it asks for and a
  /// little that is reserved.
  int multiprocessor_shared_bytes = 0;
  int reserved_shared_bytes = 0;
};

#if defined(__CUDACC__)
/// A kernel to ask about.
template <int>
__global__ void code_probe() {}
#endif

/// Traits of the calling thread's current device; architecture 0 where there is none.
inline device_traits current_device() {
  device_traits t;
#if defined(__CUDACC__)
  int major = 0, minor = 0;
  cudaFuncAttributes code{};
  if (cudaGetDevice(&t.device) != cudaSuccess ||
      cudaDeviceGetAttribute(&t.multiprocessors, cudaDevAttrMultiProcessorCount, t.device) !=
          cudaSuccess ||
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, t.device) != cudaSuccess ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, t.device) != cudaSuccess ||
      cudaDeviceGetAttribute(&t.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, t.device) !=
          cudaSuccess ||
      cudaDeviceGetAttribute(&t.multiprocessor_shared_bytes,
                             cudaDevAttrMaxSharedMemoryPerMultiprocessor,
                             t.device) != cudaSuccess ||
      cudaDeviceGetAttribute(&t.reserved_shared_bytes, cudaDevAttrReservedSharedMemoryPerBlock,
                             t.device) != cudaSuccess ||
      cudaFuncGetAttributes(&code, code_probe<0>) != cudaSuccess) {
    (void)cudaGetLastError();  // no device is an answer, not an error of somebody's later call
    return {};
  }
  t.architecture = 10 * major + minor;
  t.code_architecture = code.ptxVersion;
#else
  if (ptx::attached == nullptr) return t;
  t.multiprocessors = ptx::attached->multiprocessors();
  t.architecture = t.code_architecture = ptx::attached->architecture();
  t.shared_bytes = ptx::attached->shared_bytes();
  t.reserved_shared_bytes = ptx::reserved_shared_bytes;
  t.multiprocessor_shared_bytes = t.shared_bytes + t.reserved_shared_bytes;
#endif
  return t;
}

/// Whether what the calling thread launches goes to this device.
inline bool is_current([[maybe_unused]] const device_traits& t) {
#if defined(__CUDACC__)
  int device = -1;
  return cudaGetDevice(&device) == cudaSuccess && device == t.device;
#else
  return true;
#endif
}

/// Whether kernels on `device` may use this address: memory of that device, or managed memory.
inline bool is_device_memory(const void* p, [[maybe_unused]] int device) {
#if defined(__CUDACC__)
  cudaPointerAttributes a{};
  if (cudaPointerGetAttributes(&a, p) != cudaSuccess) {
    (void)cudaGetLastError();
    return false;
  }
  return a.type == cudaMemoryTypeManaged || (a.type == cudaMemoryTypeDevice && a.device == device);
#else
  return ptx::attached != nullptr && ptx::attached->owns(p);
#endif
}

}  // namespace rota::cuda

#pragma once

#include <algorithm>

#include <rota/cuda/backend.cuh>
#include <rota/cuda/ptx/config.cuh>

// A kernel is a struct:
//
//   struct my_kernel {
//     static constexpr int threads = 128;    // of a block
//     static constexpr int least_blocks = 2; // that must fit on a multiprocessor
//     struct arguments { ... };              // plain values and device pointers
//     ROTA_DEVICE static void run(const arguments& a);
//   };

namespace rota::cuda {

struct grid_shape {
  index_t x = 1, y = 1, z = 1;
};

#if defined(__CUDACC__)
template <class Kernel>
__global__ void __launch_bounds__(Kernel::threads, Kernel::least_blocks)
    entry(const __grid_constant__ typename Kernel::arguments a) {
  Kernel::run(a);
}

/// Shared memory above this must be asked for.
inline constexpr std::size_t default_shared_bytes = 48 * 1024;
#endif

/// Runs a kernel on the backend's stream. An empty grid runs nothing.
template <class Kernel>
status launch(const backend& b, const grid_shape& g, const typename Kernel::arguments& a,
              std::size_t shared_bytes = 0) {
  static_assert(Kernel::threads % ptx::warp_threads == 0 && Kernel::least_blocks >= 1);
  if (g.x <= 0 || g.y <= 0 || g.z <= 0) return {};
  if (g.x > INT32_MAX || g.y > 65535 || g.z > 65535) return {errc::bad_count, "grid"};
#if defined(__CUDACC__)
  const auto kernel = entry<Kernel>;
  // Always as much as there is: another thread's launch of the same kernel may need more.
  if (shared_bytes > static_cast<std::size_t>(b.device.shared_bytes))
    return {errc::device_failure, "shared memory"};
  if (shared_bytes > default_shared_bytes) {
    const cudaError_t e = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                               b.device.shared_bytes);
    if (e != cudaSuccess) return refused_by_runtime(e);
  }
  const dim3 grid(static_cast<unsigned>(g.x), static_cast<unsigned>(g.y),
                  static_cast<unsigned>(g.z));
  auto given = a;
  void* arguments[] = {&given};
  // The result is this launch's own; <<<>>> would leave it among the errors of others.
  const cudaError_t e = cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid,
                                         dim3(Kernel::threads), arguments, shared_bytes, b.stream);
  if (e != cudaSuccess) return refused_by_runtime(e);
#else
  (void)b;
  const auto body = [](const void* arguments) {
    Kernel::run(*static_cast<const typename Kernel::arguments*>(arguments));
  };
  const ptx::extent3 grid{static_cast<unsigned>(g.x), static_cast<unsigned>(g.y),
                          static_cast<unsigned>(g.z)};
  if (ptx::attached == nullptr ||
      !ptx::attached->launch(grid, Kernel::threads, shared_bytes, body, &a))
    return {errc::device_failure, "launch"};
#endif
  return {};
}

/// Blocks of `size` that `n` items need.
constexpr index_t blocks_of(index_t n, index_t size) {
  return (n + size - 1) / size;
}

}  // namespace rota::cuda

#pragma once

// The only place where our kernels meet the machine. Each function of this folder has two bodies:
// one for the GPU (inline PTX or a compiler's intrinsic), one for a plain C++ compiler, which
// carries the instruction out on an emulated machine (machine.cuh). Kernels are written once,
// above.

#if defined(__CUDACC__) && \
    (__CUDACC_VER_MAJOR__ < 12 || (__CUDACC_VER_MAJOR__ == 12 && __CUDACC_VER_MINOR__ < 1))
#error "rota: rota::cuda needs CUDA 12.1 or later: kernels take more than 4 KB of arguments"
#endif

#if defined(__CUDACC__)
#define ROTA_DEVICE __device__ __forceinline__
#define ROTA_UNROLL _Pragma("unroll")
#define ROTA_NO_UNROLL _Pragma("unroll 1")
#else
#define ROTA_DEVICE inline
#define ROTA_UNROLL
#define ROTA_NO_UNROLL
#endif

namespace rota::cuda::ptx {

inline constexpr int warp_threads = 32;
inline constexpr unsigned all_lanes = 0xffffffffu;

/// From here on the hardware has bulk copies and their barriers.
inline constexpr int bulk_architecture = 90;

#if defined(__CUDACC__) && defined(__CUDA_ARCH_LIST__)
inline constexpr int compiled_architectures[] = {__CUDA_ARCH_LIST__};  // 800, 900, ...
#else
inline constexpr int compiled_architectures[] = {800, 900};
#endif

consteval bool compiles_any(bool bulk) {
  for (const int a : compiled_architectures)
    if ((a >= 10 * bulk_architecture) == bulk) return true;
  return false;
}

/// Whether this program has code for devices with bulk copies, and for older ones. A device runs
/// the newest code that it can: with bulk copies exactly if both the device and some code have
/// them.
inline constexpr bool compiles_bulk = compiles_any(true);
inline constexpr bool compiles_chunks = compiles_any(false);

/// Whether the code that is being compiled is for a device with bulk copies (or without). Kernels
/// of the other kind are left empty there. The emulator runs both.
ROTA_DEVICE constexpr bool is_compiled_for([[maybe_unused]] bool bulk) {
#if defined(__CUDA_ARCH__)
  return (__CUDA_ARCH__ >= 10 * bulk_architecture) == bulk;
#else
  return true;
#endif
}

}  // namespace rota::cuda::ptx

#pragma once

// The only place where our kernels meet the machine. Each function of this folder has two bodies:
// one for the GPU (inline PTX or a compiler's intrinsic), one for a plain C++ compiler, which
// carries the instruction out on an emulated machine (machine.cuh). Kernels are written once,
// above.

#if defined(__CUDACC__)
#define ROTA_DEVICE __device__ __forceinline__
#define ROTA_UNROLL _Pragma("unroll")
#else
#define ROTA_DEVICE inline
#define ROTA_UNROLL
#endif

namespace rota::cuda::ptx {

inline constexpr int warp_threads = 32;
inline constexpr unsigned all_lanes = 0xffffffffu;

}  // namespace rota::cuda::ptx

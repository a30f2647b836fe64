#pragma once

// Marks functions that run on the CPU and, when compiled by nvcc, on the GPU as well.
#if defined(__CUDACC__)
#define ROTA_HD __host__ __device__
#else
#define ROTA_HD
#endif

namespace rota {

/// std::bit_cast that device code may call without a compiler flag.
template <class To, class From>
ROTA_HD constexpr To bit_cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  return __builtin_bit_cast(To, from);
}

}  // namespace rota

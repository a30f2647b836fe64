#pragma once

#include <cmath>
#include <cstdint>

#include <rota/core/element.hpp>
#include <rota/cuda/ptx/config.cuh>

namespace rota::cuda::ptx {

/// The log of no weight at all. (Device code may not call numeric_limits.)
inline constexpr float minus_infinity = -__builtin_huge_valf();

/// 2^x, to about two units in the last place; 0 for -inf.
ROTA_DEVICE float exp2(float x) {
#if defined(__CUDACC__)
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return std::exp2(x);
#endif
}

ROTA_DEVICE float log2(float x) {
#if defined(__CUDACC__)
  return ::log2f(x);
#else
  return std::log2(x);
#endif
}

/// Correctly rounded.
ROTA_DEVICE double square_root(double x) {
#if defined(__CUDACC__)
  return ::sqrt(x);
#else
  return std::sqrt(x);
#endif
}

/// Sine and cosine of 2 pi x, for any x that a double still knows the fraction of.
struct circle_point {
  double sine, cosine;
};
ROTA_DEVICE circle_point turn(double x) {
  circle_point p;
#if defined(__CUDACC__)
  ::sincospi(2 * x, &p.sine, &p.cosine);
#else
  constexpr double two_pi = 6.283185307179586;
  const double angle = two_pi * (x - std::floor(x));
  p.sine = std::sin(angle);
  p.cosine = std::cos(angle);
#endif
  return p;
}

/// Two floats rounded to E, the first in the lower half.
template <element E>
ROTA_DEVICE std::uint32_t pack_pair(float low, float high) {
  static_assert(sizeof(E) == 2);
#if defined(__CUDACC__)
  std::uint32_t pair;
  if constexpr (element_traits<E>::code == element_traits<bf16>::code)
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  else
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#else
  return static_cast<std::uint32_t>(E(low).bits) | static_cast<std::uint32_t>(E(high).bits) << 16;
#endif
}

}  // namespace rota::cuda::ptx

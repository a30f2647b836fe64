#pragma once

#include <rota/cpu/simd/vec.hpp>

namespace rota::cpu::inline ROTA_CPU_ISA::simd {

namespace exp_detail {

/// Adding this rounds to an integer and leaves it in the low bits.
inline constexpr float to_integer = 12582912.0f;  // 1.5 * 2^23

/// m * 2^n for n = t - to_integer; results may be subnormal, zero or infinite.
template <int N>
floats<N> scale_by_power(floats<N> m, floats<N> t) {
#if defined(__AVX512F__)
  if constexpr (N == 16)
    return (floats<N>)_mm512_maskz_scalef_ps(0xffff, (__m512)m, (__m512)(t - to_integer));
#endif
  const ints<N> n = bits_as<ints<N>>(t) - 0x4b400000;
  const ints<N> half = n >> 1;  // in two steps: one exponent field cannot hold n near its ends
  const uints<N> first = (bits_as<uints<N>>(half) + 127u) << 23;
  const uints<N> second = (bits_as<uints<N>>(n - half) + 127u) << 23;
  return m * bits_as<floats<N>>(first) * bits_as<floats<N>>(second);
}

/// x into [low, high]; NaN stays.
template <int N>
floats<N> clamp(floats<N> x, float low, float high) {
  x = max<N>(broadcast<N>(low), x);  // both return their second argument on NaN
  return min<N>(broadcast<N>(high), x);
}

}  // namespace exp_detail

/// 2^x, relative error below 2e-7; exp2(-inf) = 0, overflow gives inf, NaN stays NaN.
/// Polynomial: Cephes exp2f (Moshier) on [-0.5, 0.5].
template <int N>
floats<N> exp2(floats<N> x) {
  x = exp_detail::clamp<N>(x, -151.0f, 129.0f);
  const floats<N> t = x + exp_detail::to_integer;
  const floats<N> f = x - (t - exp_detail::to_integer);
  floats<N> p = broadcast<N>(1.535336188319500e-4f);
  p = fma<N>(p, f, broadcast<N>(1.339887440266574e-3f));
  p = fma<N>(p, f, broadcast<N>(9.618437357674640e-3f));
  p = fma<N>(p, f, broadcast<N>(5.550332471162809e-2f));
  p = fma<N>(p, f, broadcast<N>(2.402264791363012e-1f));
  p = fma<N>(p, f, broadcast<N>(6.931472028550421e-1f));
  p = fma<N>(p, f, broadcast<N>(1.0f));
  return exp_detail::scale_by_power<N>(p, t);
}

/// 2^x of x <= 0, relative error below 2^-18: for what will be rounded to bf16. 2^0 is 1;
/// exp2(-inf) = 0, NaN stays NaN. Polynomial: our own fit on [-0.5, 0.5], least largest relative
/// error where p(0) = 1.
template <int N>
floats<N> exp2_of_weight(floats<N> x) {
  x = max<N>(broadcast<N>(-151.0f), x);
  const floats<N> t = x + exp_detail::to_integer;
  const floats<N> f = x - (t - exp_detail::to_integer);
  floats<N> p = broadcast<N>(0.009582852944731712f);
  p = fma<N>(p, f, broadcast<N>(0.055906426161527634f));
  p = fma<N>(p, f, broadcast<N>(0.24024099111557007f));
  p = fma<N>(p, f, broadcast<N>(0.6931241750717163f));
  p = fma<N>(p, f, broadcast<N>(1.0f));
  return exp_detail::scale_by_power<N>(p, t);
}

/// e^x, relative error below 2e-7; the same special values. Polynomial: Cephes expf.
template <int N>
floats<N> exp(floats<N> x) {
  x = exp_detail::clamp<N>(x, -105.0f, 90.0f);
  const floats<N> t =
      fma<N>(x, broadcast<N>(1.44269504088896341f), broadcast<N>(exp_detail::to_integer));
  const floats<N> n = t - exp_detail::to_integer;
  // ln 2 in two parts: n times the first is exact.
  floats<N> f = fma<N>(n, broadcast<N>(-0.693359375f), x);
  f = fma<N>(n, broadcast<N>(2.12194440e-4f), f);
  floats<N> p = broadcast<N>(1.9875691500e-4f);
  p = fma<N>(p, f, broadcast<N>(1.3981999507e-3f));
  p = fma<N>(p, f, broadcast<N>(8.3334519073e-3f));
  p = fma<N>(p, f, broadcast<N>(4.1665795894e-2f));
  p = fma<N>(p, f, broadcast<N>(1.6666665459e-1f));
  p = fma<N>(p, f, broadcast<N>(5.0000001201e-1f));
  p = fma<N>(p, f * f, f) + 1.0f;
  return exp_detail::scale_by_power<N>(p, t);
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::simd

#pragma once

#include <cstdint>
#include <cstring>

#include <rota/cpu/simd/isa.hpp>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace rota::cpu::inline ROTA_CPU_ISA::simd {

/// Vector types of N = 4, 8 or 16 lanes (compiler vector extensions).
template <int N>
struct vector_types;
/// Only floats: a number for each of a few rows.
template <>
struct vector_types<1> {
  typedef float f32 __attribute__((vector_size(4)));
};
template <>
struct vector_types<2> {
  typedef float f32 __attribute__((vector_size(8)));
};
template <>
struct vector_types<4> {
  typedef float f32 __attribute__((vector_size(16)));
  typedef std::int32_t i32 __attribute__((vector_size(16)));
  typedef std::uint32_t u32 __attribute__((vector_size(16)));
  typedef std::uint16_t u16 __attribute__((vector_size(8)));
  typedef std::int8_t i8 __attribute__((vector_size(4)));
};
template <>
struct vector_types<8> {
  typedef float f32 __attribute__((vector_size(32)));
  typedef std::int32_t i32 __attribute__((vector_size(32)));
  typedef std::uint32_t u32 __attribute__((vector_size(32)));
  typedef std::uint16_t u16 __attribute__((vector_size(16)));
  typedef std::int8_t i8 __attribute__((vector_size(8)));
};
template <>
struct vector_types<16> {
  typedef float f32 __attribute__((vector_size(64)));
  typedef std::int32_t i32 __attribute__((vector_size(64)));
  typedef std::uint32_t u32 __attribute__((vector_size(64)));
  typedef std::uint16_t u16 __attribute__((vector_size(32)));
  typedef std::int8_t i8 __attribute__((vector_size(16)));
};

template <int N>
using floats = typename vector_types<N>::f32;
template <int N>
using ints = typename vector_types<N>::i32;
template <int N>
using uints = typename vector_types<N>::u32;
template <int N>
using shorts = typename vector_types<N>::u16;

template <int N>
using bytes = typename vector_types<N>::i8;

using native = floats<lanes>;

/// Reads N values from memory of any alignment.
template <class V, class T>
V load_raw(const T* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <class V, class T>
void store_raw(T* p, V v) {
  std::memcpy(static_cast<void*>(p), &v, sizeof v);
}

template <int N>
floats<N> broadcast(float x) {
  if constexpr (N == 4) return floats<N>{x, x, x, x};
  if constexpr (N == 8) return floats<N>{x, x, x, x, x, x, x, x};
  if constexpr (N == 16) return floats<N>{x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
}

template <class To, class From>
To bits_as(From v) {
  static_assert(sizeof(To) == sizeof(From));
  To r;
  std::memcpy(&r, &v, sizeof r);
  return r;
}

/// Whether fma() is one instruction with one rounding.
#if defined(__FMA__) || defined(__aarch64__)
inline constexpr bool fast_fma = true;
#else
inline constexpr bool fast_fma = false;
#endif

/// a * b + c with one rounding where the machine can, whatever -ffp-contract says.
template <int N>
floats<N> fma(floats<N> a, floats<N> b, floats<N> c) {
#if defined(__FMA__)
  if constexpr (N == 4) return (floats<N>)_mm_fmadd_ps((__m128)a, (__m128)b, (__m128)c);
  if constexpr (N == 8) return (floats<N>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#if defined(__AVX512F__)
  if constexpr (N == 16) return (floats<N>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#endif
#elif defined(__aarch64__)
  if constexpr (N == 4) return (floats<N>)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#endif
  return a * b + c;
}

/// mask ? a : b, lane by lane; mask lanes are 0 or -1.
template <int N, class V>
V select(ints<N> mask, V a, V b) {
  const ints<N> x = bits_as<ints<N>>(a);
  const ints<N> y = bits_as<ints<N>>(b);
  return bits_as<V>((mask & x) | (~mask & y));
}

/// The larger of two, b where they do not compare: max(NaN, b) is b.
template <int N>
floats<N> max(floats<N> a, floats<N> b) {
#if defined(__x86_64__)
  if constexpr (N == 4) return (floats<N>)_mm_max_ps((__m128)a, (__m128)b);
#if defined(__AVX__)
  if constexpr (N == 8) return (floats<N>)_mm256_max_ps((__m256)a, (__m256)b);
#endif
#if defined(__AVX512F__)
  if constexpr (N == 16) return (floats<N>)_mm512_maskz_max_ps(0xffff, (__m512)a, (__m512)b);
#endif
#endif
  return select<N>(a > b, a, b);
}

/// The smaller of two, b where they do not compare.
template <int N>
floats<N> min(floats<N> a, floats<N> b) {
#if defined(__x86_64__)
  if constexpr (N == 4) return (floats<N>)_mm_min_ps((__m128)a, (__m128)b);
#if defined(__AVX__)
  if constexpr (N == 8) return (floats<N>)_mm256_min_ps((__m256)a, (__m256)b);
#endif
#if defined(__AVX512F__)
  if constexpr (N == 16) return (floats<N>)_mm512_maskz_min_ps(0xffff, (__m512)a, (__m512)b);
#endif
#endif
  return select<N>(a < b, a, b);
}

/// GCC 12 makes two instructions of a comparison and a choice.
template <int N>
ints<N> max(ints<N> a, ints<N> b) {
#if defined(__AVX512F__)
  if constexpr (N == 16) return (ints<N>)_mm512_maskz_max_epi32(0xffff, (__m512i)a, (__m512i)b);
#endif
  return a > b ? a : b;
}

template <int N>
uints<N> min(uints<N> a, uints<N> b) {
#if defined(__AVX512F__)
  if constexpr (N == 16) return (uints<N>)_mm512_maskz_min_epu32(0xffff, (__m512i)a, (__m512i)b);
#endif
  return a < b ? a : b;
}

/// Keeps a value in its register: GCC would rather read it from memory again at each use, and loads
/// are what the kernels run out of.
template <class V>
[[gnu::always_inline]] inline void pin(V& v) {
#if defined(__x86_64__)
  __asm__("" : "+v"(v));
#elif defined(__aarch64__)
  __asm__("" : "+w"(v));
#endif
}

/// Asks for a cache line that will be read some thousand cycles later: into the second-level cache,
/// which has more requests open than the first. An address, for it may lie behind the memory that p
/// belongs to, where pointer arithmetic must not go.
[[gnu::always_inline]] inline void prefetch(std::uintptr_t address) {
  __asm__ volatile("" ::"r"(address));  // GCC drops calls of functions that do nothing but prefetch
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  __builtin_prefetch(reinterpret_cast<const void*>(address), 0, 2);
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::simd

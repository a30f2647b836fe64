#pragma once

#include <rota/core/codec.hpp>
#include <rota/cpu/simd/vec.hpp>

// Elements to float and back. All arithmetic is done in float.

namespace rota::cpu::inline ROTA_CPU_ISA::simd {

/// Zero extension. GCC 12 splits its own conversion of 16 lanes in two, hence the instruction.
template <int N>
uints<N> widen(shorts<N> v) {
#if defined(__AVX512F__)
  if constexpr (N == 16) return (uints<N>)_mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)v);
#endif
#if defined(__AVX2__)
  if constexpr (N == 8) return (uints<N>)_mm256_cvtepu16_epi32((__m128i)v);
#endif
  return __builtin_convertvector(v, uints<N>);
}

/// The low halves. GCC 12 would take its own conversion of 16 lanes number by number.
template <int N>
shorts<N> low_shorts(uints<N> v) {
#if defined(__AVX512F__)
  if constexpr (N == 16) return (shorts<N>)_mm512_maskz_cvtepi32_epi16(0xffff, (__m512i)v);
#endif
  return __builtin_convertvector(v, shorts<N>);
}

/// The low bytes.
template <int N>
bytes<N> low_bytes(ints<N> v) {
#if defined(__AVX512F__)
  if constexpr (N == 16) return (bytes<N>)_mm512_maskz_cvtepi32_epi8(0xffff, (__m512i)v);
#endif
  return __builtin_convertvector(v, bytes<N>);
}

/// IEEE binary16 bits to float, by integer and one multiplication: for machines without an
/// instruction for it.
template <int N>
floats<N> half_to_float(shorts<N> h) {
  const uints<N> u = widen<N>(h);
  const uints<N> sign = (u & 0x8000u) << 16;
  // The half's exponent, read as a float's, is 112 too small; subnormals come right by themselves.
  const floats<N> magnitude = bits_as<floats<N>>((u & 0x7fffu) << 13) * 0x1p112f;
  const ints<N> not_finite = magnitude >= 0x1p16f;
  const uints<N> top = bits_as<uints<N>>(not_finite) & 0x7f800000u;
  return bits_as<floats<N>>(bits_as<uints<N>>(magnitude) | top | sign);
}

template <int N>
floats<N> load(const float* p) {
  return load_raw<floats<N>>(p);
}

#if defined(__AVX512BW__)
/// Where the 32 halves of 16 floats come from: each number twice, the lower of a pair masked out.
alignas(64) inline constexpr std::uint16_t upper_halves[32] = {
    0, 0, 1, 1, 2,  2,  3,  3,  4,  4,  5,  5,  6,  6,  7,  7,
    8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15};
#endif

template <int N>
floats<N> load(const bf16* p) {
#if defined(__AVX512BW__)
  // One permutation in place of an extension and a shift.
  if constexpr (N == 16)
    return (floats<N>)_mm512_maskz_permutexvar_epi16(
        0xaaaaaaaau, _mm512_load_si512(upper_halves),
        _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
#endif
  return bits_as<floats<N>>(widen<N>(load_raw<shorts<N>>(p)) << 16);
}

/// The largest magnitudes of n numbers, n a multiple of 2 * lanes, as the bits of floats; which
/// lane has which is left open.
inline ints<lanes> largest_magnitudes(const bf16* p, std::int64_t n) {
#if defined(__AVX512BW__)
  __m512i most{};
  for (std::int64_t i = 0; i < n; i += 2 * lanes)
    most = _mm512_maskz_max_epu16(
        ~__mmask32{0}, most,
        _mm512_and_si512(_mm512_loadu_si512(p + i), _mm512_set1_epi16(0x7fff)));
  const auto pairs = (ints<lanes>)most;
#else
  ints<lanes> most_low{}, most_high{};
  for (std::int64_t i = 0; i < n; i += 2 * lanes) {
    const auto pair = load_raw<ints<lanes>>(p + i);
    most_low = max<lanes>(most_low, pair & 0x7fff);
    most_high = max<lanes>(most_high, pair & 0x7fff0000);
  }
  const ints<lanes> pairs = most_low | most_high;
#endif
  return max<lanes>(pairs << 16, pairs & 0x7fff0000);
}

template <int N>
floats<N> load(const f16* p) {
#if defined(__F16C__)
  if constexpr (N == 4)
    return (floats<N>)_mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  if constexpr (N == 8)
    return (floats<N>)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#if defined(__AVX512F__)
  if constexpr (N == 16)
    return (floats<N>)_mm512_maskz_cvtph_ps(
        0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#endif
#endif
  return half_to_float<N>(load_raw<shorts<N>>(p));
}

/// Bytes as floats; their scales are applied later.
template <int N>
floats<N> load(const int8* p) {
#if defined(__AVX512F__)
  if constexpr (N == 16)
    return (floats<N>)_mm512_maskz_cvtepi32_ps(
        0xffff,
        _mm512_maskz_cvtepi8_epi32(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#endif
#if defined(__AVX2__)
  if constexpr (N == 8)
    return (floats<N>)_mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#endif
  return __builtin_convertvector(load_raw<bytes<N>>(p), floats<N>);
}

/// The first n elements at p, 0 < n < N, then zeros; reads nothing behind them.
template <int N, class E>
floats<N> load_part(const E* p, std::int64_t n) {
  E part[N] = {};
  std::memcpy(part, p, static_cast<std::size_t>(n) * sizeof(E));
  return load<N>(part);
}

template <int N>
void store(float* p, floats<N> v) {
  store_raw(p, v);
}

/// Rounds to nearest even, NaN stays NaN: the same bits as rota::bf16(float).
template <int N>
void store(bf16* p, floats<N> v) {
  const uints<N> u = bits_as<uints<N>>(v);
  const uints<N> rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  const uints<N> quiet = (u >> 16) | 0x40u;
  const ints<N> is_nan = v != v;
  store_raw(p, __builtin_convertvector(select<N>(is_nan, quiet, rounded), shorts<N>));
}

/// The same bits as rota::f16(float).
template <int N>
void store(f16* p, floats<N> v) {
  const uints<N> u = bits_as<uints<N>>(v);
  const uints<N> a = u & 0x7fffffffu;
  const floats<N> magnitude = bits_as<floats<N>>(a);
  const uints<N> small = bits_as<uints<N>>(magnitude + 0.5f) - 0x3f000000u;
  const uints<N> normal = (a + 0xfffu + ((a >> 13) & 1u) - 0x38000000u) >> 13;
  uints<N> bits = select<N>(magnitude < 0x1p-14f, small, normal);
  bits = select<N>(magnitude >= 65520.0f, uints<N>{} + 0x7c00u, bits);
  bits = select<N>(v != v, uints<N>{} + 0x7e00u, bits);
  bits |= (u >> 16) & 0x8000u;
  store_raw(p, __builtin_convertvector(bits, shorts<N>));
}

/// The first n lanes, rounded to nearest even; they lie within -127.5 .. 127.5.
template <int N>
void store_part(int8* p, floats<N> v, std::int64_t n) {
  constexpr float to_integer =
      12582912.0f;  // 1.5 * 2^23: adding it leaves the integer in the low bits
  const ints<N> rounded = bits_as<ints<N>>(v + to_integer);  // above that: bytes that are cut off
  const bytes<N> b = low_bytes<N>(rounded);
  std::memcpy(static_cast<void*>(p), &b, static_cast<std::size_t>(n));
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::simd

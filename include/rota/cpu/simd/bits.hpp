#pragma once

#include <bit>

#include <rota/core/score_key.hpp>
#include <rota/cpu/simd/unroll.hpp>
#include <rota/cpu/simd/vec.hpp>

// Score keys of 64 numbers at once, and words of 64 bits that say something of each, lowest bit
// first. Keys are signed here, because vectors compare signed integers best.

namespace rota::cpu::inline ROTA_CPU_ISA::simd {

/// Numbers that a word tells of.
inline constexpr int word_items = 64;

constexpr std::int32_t signed_key(std::uint32_t key) {
  return static_cast<std::int32_t>(key ^ 0x80000000u);
}
constexpr std::uint32_t score_key_of(std::int32_t key) {
  return static_cast<std::uint32_t>(key) ^ 0x80000000u;
}
inline constexpr std::int32_t key_of_nan = signed_key(0);
inline constexpr std::int32_t key_of_infinity = 0x7f800000;

/// The lowest n bits, n from 0 to 64.
constexpr std::uint64_t low_bits(std::int64_t n) {
  return n >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1;
}

/// Signed score keys, lane by lane. Integer arithmetic only: how the thread treats denormal floats
/// does not matter.
inline ints<lanes> score_keys(native x) {
  const auto bits = bits_as<ints<lanes>>(x);
#if defined(__AVX512F__) && defined(__AVX512DQ__)
  const auto u = (__m512i)bits;
  constexpr int a_xor_b_and_c = 0x78, any_nan = 0x81;
  __m512i key = _mm512_maskz_ternarylogic_epi32(0xffff, u, _mm512_maskz_srai_epi32(0xffff, u, 31),
                                                _mm512_set1_epi32(0x7fffffff), a_xor_b_and_c);
  const __mmask16 minus_zero = _mm512_cmpeq_epi32_mask(u, _mm512_set1_epi32(INT32_MIN));
  key = _mm512_mask_mov_epi32(key, minus_zero, __m512i{});
  const __mmask16 nan = _mm512_fpclass_ps_mask((__m512)x, any_nan);
  return (ints<lanes>)_mm512_mask_mov_epi32(key, nan, _mm512_set1_epi32(key_of_nan));
#else
  const ints<lanes> magnitude = bits & 0x7fffffff;
  const ints<lanes> zero = magnitude == 0;
  const ints<lanes> nan = magnitude > key_of_infinity;
  const ints<lanes> key = (bits ^ ((bits >> 31) & 0x7fffffff)) & ~zero;
  return (key & ~nan) | (nan & key_of_nan);
#endif
}

/// Signed keys of 64 numbers.
struct key_word {
  static constexpr int parts = word_items / lanes;
  ints<lanes> part[parts];

  static key_word of(const float* x) {
    key_word w;
    unroll<parts>([&](int i) __attribute__((always_inline)) {
      w.part[i] = score_keys(load_raw<native>(x + i * lanes));
    });
    return w;
  }
  static key_word of(const std::int32_t* keys) {
    key_word w;
    unroll<parts>([&](int i) __attribute__((always_inline)) {
      w.part[i] = load_raw<ints<lanes>>(keys + i * lanes);
    });
    return w;
  }
};

namespace bits_detail {

#if defined(__AVX512VBMI2__)
struct numbers {
  alignas(64) std::uint8_t value[word_items];
};
constexpr numbers count_up() {
  numbers n{};
  for (int i = 0; i < word_items; ++i) n.value[i] = static_cast<std::uint8_t>(i);
  return n;
}
inline constexpr numbers counting = count_up();
#endif

#if !defined(__AVX512F__)
/// Bit l of the result is that of lane l, whose bits are all the same.
inline std::uint64_t bits_of(ints<lanes> mask) {
#if defined(__AVX__)
  if constexpr (lanes == 8) return static_cast<unsigned>(_mm256_movemask_ps(bits_as<__m256>(mask)));
#endif
#if defined(__SSE2__)
  if constexpr (lanes == 4) return static_cast<unsigned>(_mm_movemask_ps(bits_as<__m128>(mask)));
#endif
  std::uint64_t word = 0;
  for (int l = 0; l < lanes; ++l) word |= std::uint64_t{mask[l] & 1u} << l;
  return word;
}
#endif

/// Bit l of the result says whether a[l] > b[l].
inline std::uint64_t greater(ints<lanes> a, ints<lanes> b) {
#if defined(__AVX512F__)
  return _mm512_cmpgt_epi32_mask((__m512i)a, (__m512i)b);
#else
  return bits_of(a > b);
#endif
}

inline std::int64_t compress(ints<lanes> x, std::uint64_t part, std::int32_t* out) {
#if defined(__AVX512F__)
  const auto mask = static_cast<__mmask16>(part);
  _mm512_storeu_si512(out, _mm512_maskz_compress_epi32(mask, (__m512i)x));
  return std::popcount(static_cast<unsigned>(mask));
#else
  std::int64_t n = 0;
  for (; part != 0; part &= part - 1) out[n++] = x[std::countr_zero(part)];
  return n;
#endif
}

}  // namespace bits_detail

/// Which of 64 keys are above a bound.
[[gnu::always_inline]] inline std::uint64_t above(const key_word& x, std::int32_t bound) {
  const ints<lanes> b = ints<lanes>{} + bound;
  std::uint64_t word = 0;
  unroll<key_word::parts>([&](int i) __attribute__((always_inline)) {
    word |= bits_detail::greater(x.part[i], b) << (i * lanes);
  });
  return word;
}

[[gnu::always_inline]] inline std::uint64_t at_least(const key_word& x, std::int32_t bound) {
  return bound == INT32_MIN ? ~std::uint64_t{0} : above(x, bound - 1);
}

/// How many of n keys, less than 2^31, are at least a bound.
inline std::int64_t count_at_least(const std::int32_t* keys, std::int64_t n, std::int32_t bound) {
  const ints<lanes> b = ints<lanes>{} + bound;
  ints<lanes> sums{};
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) sums -= load_raw<ints<lanes>>(keys + i) >= b;
  std::int64_t count = 0;
  for (int l = 0; l < lanes; ++l) count += sums[l];
  for (; i < n; ++i) count += keys[i] >= bound;
  return count;
}

/// Writes those of 64 keys that a word names, one after another; returns how many. May write as
/// many numbers behind them as a vector has lanes.
[[gnu::always_inline]] inline std::int64_t compress(const key_word& x, std::uint64_t word,
                                                    std::int32_t* out) {
  std::int64_t n = 0;
  if (word == 0) return n;
  unroll<key_word::parts>([&](int i) __attribute__((always_inline)) {
    constexpr std::uint64_t all = (std::uint64_t{1} << lanes) - 1;
    n += bits_detail::compress(x.part[i], word >> (i * lanes) & all, out + n);
  });
  return n;
}

/// Writes first + i for each bit i, ascending; returns how many. May write up to 64 numbers.
inline std::int64_t write_positions(std::uint64_t word, std::int32_t first, std::int32_t* out) {
#if defined(__AVX512VBMI2__)
  const __m512i bits =
      _mm512_maskz_compress_epi8(word, _mm512_load_si512(bits_detail::counting.value));
  const __m512i start = _mm512_set1_epi32(first);
  const int n = std::popcount(word);
  const auto put = [&](int i, __m128i part) {
    if (i < n)
      _mm512_storeu_si512(
          out + i, _mm512_maskz_add_epi32(0xffff, start, _mm512_maskz_cvtepu8_epi32(0xffff, part)));
  };
  put(0, _mm512_maskz_extracti32x4_epi32(0xf, bits, 0));
  put(16, _mm512_maskz_extracti32x4_epi32(0xf, bits, 1));
  put(32, _mm512_maskz_extracti32x4_epi32(0xf, bits, 2));
  put(48, _mm512_maskz_extracti32x4_epi32(0xf, bits, 3));
  return n;
#else
  std::int64_t n = 0;
  for (; word != 0; word &= word - 1)
    out[n++] = first + static_cast<std::int32_t>(std::countr_zero(word));
  return n;
#endif
}

/// Writes which of n <= 256 masks have a bit, ascending; returns how many. May write up to 64
/// numbers behind them.
inline std::int64_t list_with_bit(const std::uint16_t* masks, std::int64_t n, int bit,
                                  std::uint8_t* out) {
  std::int64_t count = 0;
#if defined(__AVX512VBMI2__)
  const __m512i one = _mm512_set1_epi16(static_cast<short>(1 << bit));
  for (std::int64_t i = 0; i < n; i += 64) {
    const std::uint64_t there = low_bits(n - i);
    const auto low = static_cast<__mmask32>(there), high = static_cast<__mmask32>(there >> 32);
    const auto word =
        std::uint64_t{_mm512_test_epi16_mask(one, _mm512_maskz_loadu_epi16(low, masks + i))} |
        std::uint64_t{_mm512_test_epi16_mask(one, _mm512_maskz_loadu_epi16(high, masks + i + 32))}
            << 32;
    const __m512i numbers = _mm512_add_epi8(_mm512_load_si512(bits_detail::counting.value),
                                            _mm512_set1_epi8(static_cast<char>(i)));
    _mm512_storeu_si512(out + count, _mm512_maskz_compress_epi8(word, numbers));
    count += std::popcount(word);
  }
#else
  for (std::int64_t i = 0; i < n; ++i) {  // without a branch: a mask is not to be guessed
    out[count] = static_cast<std::uint8_t>(i);
    count += masks[i] >> bit & 1;
  }
#endif
  return count;
}

/// Bit i of `word` goes where `mask` has its i-th bit.
inline std::uint64_t deposit(std::uint64_t word, std::uint64_t mask) {
#if defined(__BMI2__)
  return _pdep_u64(word, mask);
#else
  std::uint64_t out = 0;
  for (; mask != 0 && word != 0; mask &= mask - 1, word >>= 1)
    if ((word & 1) != 0) out |= mask & (~mask + 1);
  return out;
#endif
}

/// The lowest n of a word's bits, all of them if there are no more.
inline std::uint64_t first_bits(std::uint64_t word, std::int64_t n) {
  return n >= std::popcount(word) ? word : deposit(low_bits(n), word);
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::simd

#pragma once

#include <rota/cpu/simd/bits.hpp>

// What lies above and inside a bracket of score keys, of 64 items at once.

namespace rota::cpu::inline ROTA_CPU_ISA::simd {

/// 64 numbers as they are.
struct score_word {
  native part[key_word::parts];

  static score_word of(const float* x) {
    score_word w;
    unroll<key_word::parts>([&](int i) __attribute__((always_inline)) {
      w.part[i] = load_raw<native>(x + i * lanes);
    });
    return w;
  }
};

/// Whether comparing with the number of a key says what comparing with the key says, however the
/// thread treats denormal numbers: the number is none, nor is it 0 or NaN.
constexpr bool compares_as_number(std::int32_t key) {
  const std::int32_t magnitude = (key < 0 ? ~key : key) & 0x7fffffff;
  return magnitude >= 0x00800000 && magnitude <= key_of_infinity;
}
/// The number of such a key.
inline float number_of(std::int32_t key) {
  return bits_as<float>(key < 0 ? key ^ 0x7fffffff : key);
}

/// What a bracket makes of 64 items.
struct split_word {
  std::uint64_t high = 0, inside = 0;
};

/// Which items of `there` have at least the key `high`, and which of the others at least `low`.
/// Writes the keys of the latter as compress() does.
[[gnu::always_inline]] inline split_word split(const key_word& x, std::uint64_t there,
                                               std::int32_t low, std::int32_t high,
                                               std::int32_t* out) {
  split_word s;
  s.high = at_least(x, high) & there;
  s.inside = at_least(x, low) & ~s.high & there;
  compress(x, s.inside, out);
  return s;
}

/// The same by the numbers of keys; writes numbers, of which make_keys() makes keys.
[[gnu::always_inline]] inline split_word split(const score_word& x, std::uint64_t there, float low,
                                               float high, std::int32_t* out) {
  const native least = broadcast<lanes>(low), above = broadcast<lanes>(high);
  constexpr std::uint64_t all = (std::uint64_t{1} << lanes) - 1;
  std::uint64_t below_high = 0;
  split_word s;
  unroll<key_word::parts>([&](int i) __attribute__((always_inline)) {
    const std::uint64_t own = there >> (i * lanes) & all;
#if defined(__AVX512F__)
    const auto part = (__m512)x.part[i];
    const __mmask16 below =
        _mm512_mask_cmp_ps_mask(static_cast<__mmask16>(own), part, (__m512)above, _CMP_NGE_UQ);
    const __mmask16 inside = _mm512_mask_cmp_ps_mask(below, part, (__m512)least, _CMP_GE_OQ);
#else
    const std::uint64_t below = own & ~bits_detail::bits_of(x.part[i] >= above);
    const std::uint64_t inside = below & bits_detail::bits_of(x.part[i] >= least);
#endif
    out += bits_detail::compress(bits_as<ints<lanes>>(x.part[i]), inside, out);
    below_high |= std::uint64_t{below} << (i * lanes);
    s.inside |= std::uint64_t{inside} << (i * lanes);
  });
  s.high = there & ~below_high;
  return s;
}

/// Makes keys of n numbers. May change as many behind them as a vector has lanes.
inline void make_keys(std::int32_t* numbers, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += lanes)
    store_raw(numbers + i, score_keys(load_raw<native>(numbers + i)));
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::simd

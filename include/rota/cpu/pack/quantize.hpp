#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include <rota/core/types.hpp>
#include <rota/cpu/simd/convert.hpp>
#include <rota/cpu/simd/reduce.hpp>
#include <rota/cpu/simd/transpose.hpp>

// Rows and slices as a codec stores them: converted, or rounded to bytes with a scale.

namespace rota::cpu {

inline namespace ROTA_CPU_ISA {
namespace pack_detail {

using simd::lanes;
using simd::native;

/// f(i, numbers i .. i + lanes - 1, how many of them are there) for all n numbers.
template <element From, class F>
[[gnu::always_inline]] inline void for_vectors(const From* from, index_t n, F&& f) {
  index_t i = 0;
  for (; i + lanes <= n; i += lanes) f(i, simd::load<lanes>(from + i), index_t{lanes});
  if (i < n) f(i, simd::load_part<lanes>(from + i, n - i), n - i);
}

using magnitudes = simd::ints<lanes>;

/// The largest magnitude in each lane of n numbers, as bits: they order as the magnitudes do, NaN
/// above infinity.
template <element From>
[[gnu::always_inline]] inline magnitudes largest_in_lanes(const From* from, index_t n) {
  magnitudes most{};
  if constexpr (std::is_same_v<From, bf16>) {
    const index_t pairs = n / (2 * lanes) * (2 * lanes);
    most = simd::largest_magnitudes(from, pairs);
    from += pairs;
    n -= pairs;
  }
  for_vectors(
      from, n, [&](index_t, native x, index_t) __attribute__((always_inline)) {
        most = simd::max<lanes>(simd::bits_as<magnitudes>(x) & 0x7fffffff, most);
      });
  return most;
}

/// The largest magnitude among n numbers; NaN where one of them is not finite.
template <element From>
float largest_magnitude(const From* from, index_t n) {
  const std::int32_t largest = simd::horizontal_max(largest_in_lanes(from, n));
  if (largest >= 0x7f800000) return std::numeric_limits<float>::quiet_NaN();
  return bit_cast<float>(static_cast<std::uint32_t>(largest));
}

/// The smallest scale of which 127 steps reach `most`.
inline scale_type scale_for(float most) {
  const float exact = most / 127.0f;
  scale_type scale(exact);
  if (static_cast<float>(scale) < exact) ++scale.bits;  // the next larger number
  return scale;
}

/// x / step, the same bits, for numbers that are at most about 128 steps.
class divider {
 public:
  /// Beyond these, intermediate results are not exact.
  static constexpr float smallest = 0x1p-90f, largest = 0x1p90f;

  explicit divider(float step)
      : divider(step, 1.0f / step, simd::fast_fma && step > smallest && step < largest) {}
  divider(float step, float inverse, bool by_inverse)
      : step_(simd::broadcast<lanes>(step)),
        inverse_(simd::broadcast<lanes>(inverse)),
        by_inverse_(by_inverse) {}

  /// With one correction the product by the rounded inverse is the rounded quotient, unless all
  /// bits of the divisor's fraction are set (Markstein, IBM J. Res. Dev. 34, 1990); a scale has
  /// eight bits. Vectors divide slowly.
  native operator()(native x) const {
    if (!by_inverse_) return x / step_;
    const native near = x * inverse_;
    const native rest = simd::fma<lanes>(-near, step_, x);
    return simd::fma<lanes>(rest, inverse_, near);
  }

 private:
  native step_, inverse_;
  bool by_inverse_;
};

}  // namespace pack_detail

/// Copies n elements, converting through float where the types differ.
template <element To, element From>
void convert_row(const From* from, To* to, index_t n) {
  if constexpr (std::is_same_v<To, From>) {
    std::memcpy(to, from, sizeof(To) * static_cast<std::size_t>(n));
  } else {
    using pack_detail::lanes;
    index_t i = 0;
    for (; i + lanes <= n; i += lanes) simd::store<lanes>(to + i, simd::load<lanes>(from + i));
    for (const index_t end = i + n % lanes; i < end; ++i)
      to[i] = static_cast<To>(static_cast<float>(from[i]));
  }
}

/// Rounds n numbers to the nearest multiples -127 .. 127 of a scale, which is returned: symmetric
/// quantization by the largest magnitude. An error is at most half the scale, and the scale at
/// most 129 / 128 of the largest magnitude over 127. Where a number is not finite the scale is NaN,
/// and so is all that is made of the slice.
template <element From>
[[gnu::always_inline]] inline scale_type quantize_row(const From* from, int8* to, index_t n) {
  using namespace pack_detail;
  const scale_type scale = scale_for(largest_magnitude(from, n));
  const float step = static_cast<float>(scale);
  const divider by_step(step > 0 ? step : 1.0f);
  for_vectors(from, n, [&](index_t i, native x, index_t count) {
    if (step != step) x = native{};
    simd::store_part<lanes>(to + i, by_step(x), count);
  });
  return scale;
}

/// quantize_row() for `lanes` rows of n numbers, whose bytes are put one row after the other: the
/// same bits. The scales are made side by side, because each takes far longer than a vector of
/// bytes. `n`: an index_t, or a constant that converts to it.
template <element From, class Count>
[[gnu::always_inline]] inline void quantize_rows(const From* const* rows, int8* to,
                                                 scale_type* scales, Count n) {
  using namespace pack_detail;
  using words = simd::uints<lanes>;
  magnitudes most[lanes];
  for (int i = 0; i < lanes; ++i) most[i] = largest_in_lanes(rows[i], n);
  const native exact = simd::bits_as<native>(simd::horizontal_maxima(most)) / 127.0f;
  const words rounded_up = (simd::bits_as<words>(exact) + 0xffffu) >> 16;
  alignas(64) float steps[lanes], inverses[lanes];
  const native step = simd::bits_as<native>(rounded_up << 16);
  simd::store_raw(steps, step);
  simd::store_raw(inverses, 1.0f / step);
  if (!simd::all_between<lanes>(step, divider::smallest, divider::largest)) {
    for (int i = 0; i < lanes; ++i) scales[i] = quantize_row(rows[i], to + i * n, n);
    return;
  }
  simd::store_raw(scales, simd::low_shorts<lanes>(rounded_up));
  for (int i = 0; i < lanes; ++i) {
    const divider by_step(steps[i], inverses[i], simd::fast_fma);
    for_vectors(
        rows[i], n, [&](index_t at, native x, index_t count) __attribute__((always_inline)) {
          simd::store_part<lanes>(to + i * n + at, by_step(x), count);
        });
  }
}

}  // namespace ROTA_CPU_ISA
}  // namespace rota::cpu

#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include <rota/core/types.hpp>
#include <rota/cpu/simd/convert.hpp>
#include <rota/cpu/simd/reduce.hpp>

// Rows and slices as a codec stores them: converted, or rounded to bytes with a scale.

namespace rota::cpu {

inline namespace ROTA_CPU_ISA {
namespace pack_detail {

using simd::lanes;
using simd::native;

/// f(i, numbers i .. i + lanes - 1, how many of them are there) for all n numbers.
template <element From, class F>
void for_vectors(const From* from, index_t n, F&& f) {
  index_t i = 0;
  for (; i + lanes <= n; i += lanes) f(i, simd::load<lanes>(from + i), index_t{lanes});
  if (i < n) f(i, simd::load_part<lanes>(from + i, n - i), n - i);
}

/// The largest magnitude among n numbers; NaN where one of them is not finite.
template <element From>
float largest_magnitude(const From* from, index_t n) {
  using ints = simd::ints<lanes>;
  ints most{};  // bits of magnitudes: they order as the magnitudes do, NaN above infinity
  for_vectors(from, n, [&](index_t, native x, index_t) {
    const ints bits = simd::bits_as<ints>(x) & 0x7fffffff;
    most = bits > most ? bits : most;
  });
  const std::int32_t largest = simd::horizontal_max(most);
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
  explicit divider(float step)
      : step_(simd::broadcast<lanes>(step)),
        inverse_(simd::broadcast<lanes>(1.0f / step)),
        // Beyond these, intermediate results are not exact.
        by_inverse_(simd::fast_fma && step > 0x1p-90f && step < 0x1p90f) {}

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

}  // namespace ROTA_CPU_ISA
}  // namespace rota::cpu

#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include <rota/core/types.hpp>
#include <rota/cpu/simd/convert.hpp>

// Rows and slices as a codec stores them: converted, or rounded to bytes with a scale.

namespace rota::cpu {

/// Copies n elements, converting through float where the types differ.
template <element To, element From>
void convert_row(const From* from, To* to, index_t n) {
  if constexpr (std::is_same_v<To, From>) {
    std::memcpy(to, from, sizeof(To) * static_cast<std::size_t>(n));
  } else {
    for (index_t i = 0; i < n; ++i) to[i] = static_cast<To>(static_cast<float>(from[i]));
  }
}

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
  native most{}, odd{};
  for_vectors(from, n, [&](index_t, native x, index_t) {
    most = simd::max<lanes>(simd::max<lanes>(x, -x), most);
    odd += x - x;  // 0, and NaN of what is not finite
  });
  float largest = 0;
  float sum = 0;
  for (int l = 0; l < lanes; ++l) {
    largest = most[l] > largest ? most[l] : largest;
    sum += odd[l];
  }
  return largest + sum;
}

/// The smallest scale of which 127 steps reach `most`.
inline scale_type scale_for(float most) {
  const float exact = most / 127.0f;
  scale_type scale(exact);
  if (static_cast<float>(scale) < exact) ++scale.bits;  // the next larger number
  return scale;
}

}  // namespace pack_detail

/// Rounds n numbers to the nearest multiples -127 .. 127 of a scale, which is returned: symmetric
/// quantization by the largest magnitude . An error is at most half the scale, and the scale at
/// most 129 / 128 of the largest magnitude over 127. Where a number is not finite the scale is NaN,
/// and so is all that is made of the slice.
template <element From>
scale_type quantize_row(const From* from, int8* to, index_t n) {
  using namespace pack_detail;
  const scale_type scale = scale_for(largest_magnitude(from, n));
  const float step = static_cast<float>(scale);
  const native divisor = simd::broadcast<lanes>(step > 0 ? step : 1.0f);
  for_vectors(from, n, [&](index_t i, native x, index_t count) {
    if (step != step) x = native{};
    simd::store_part<lanes>(to + i, x / divisor, count);
  });
  return scale;
}

}  // namespace ROTA_CPU_ISA
}  // namespace rota::cpu

#pragma once

#include <cstdint>

#include <rota/core/config.hpp>

namespace rota {

/// bfloat16: the upper half of an IEEE float. Storage only; arithmetic is done in float.
struct bf16 {
  std::uint16_t bits = 0;

  bf16() = default;
  /// Rounds to nearest, ties to even; NaN stays a (quiet) NaN.
  ROTA_HD explicit bf16(float x) {
    const auto u = bit_cast<std::uint32_t>(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) {
      bits = static_cast<std::uint16_t>((u >> 16) | 0x40u);
    } else {
      bits = static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
    }
  }
  ROTA_HD explicit operator float() const {
    return bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
};

namespace detail {

/// IEEE binary16 bits of a float: nearest even, overflow to infinity, subnormals kept.
ROTA_HD inline std::uint16_t half_bits(float x) {
  const auto u = bit_cast<std::uint32_t>(x);
  const auto sign = static_cast<std::uint16_t>((u >> 16) & 0x8000u);
  const std::uint32_t a = u & 0x7fffffffu;
  if (a > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);
  if (a >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // rounds past 65504
  if (a < 0x38800000u) {
    // Adding 0.5 aligns the subnormal's last place with the float's: the hardware rounds for us.
    const float aligned = bit_cast<float>(a) + 0.5f;
    return static_cast<std::uint16_t>(sign | (bit_cast<std::uint32_t>(aligned) - 0x3f000000u));
  }
  const std::uint32_t rounded = a + 0xfffu + ((a >> 13) & 1u) - 0x38000000u;
  return static_cast<std::uint16_t>(sign | (rounded >> 13));
}

ROTA_HD inline float half_value(std::uint16_t h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16;
  const std::uint32_t exponent = (h >> 10) & 0x1fu;
  const std::uint32_t fraction = h & 0x3ffu;
  if (exponent == 0x1fu) return bit_cast<float>(sign | 0x7f800000u | (fraction << 13));
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return bit_cast<float>(sign | bit_cast<std::uint32_t>(magnitude));
  }
  return bit_cast<float>(sign | ((exponent + 112u) << 23) | (fraction << 13));
}

}  // namespace detail

/// IEEE binary16. Storage only; arithmetic is done in float.
struct f16 {
  std::uint16_t bits = 0;

  f16() = default;
  ROTA_HD explicit f16(float x) : bits(detail::half_bits(x)) {}
  ROTA_HD explicit operator float() const { return detail::half_value(bits); }
};

using f32 = float;

/// The element types that a store can hold. The number is written into stores and saved files.
template <class E>
struct element_traits;
template <>
struct element_traits<f32> {
  static constexpr std::uint8_t code = 1;
  static constexpr const char* name = "f32";
};
template <>
struct element_traits<bf16> {
  static constexpr std::uint8_t code = 2;
  static constexpr const char* name = "bf16";
};
template <>
struct element_traits<f16> {
  static constexpr std::uint8_t code = 3;
  static constexpr const char* name = "f16";
};

template <class E>
concept element = requires {
  element_traits<E>::code;
};

}  // namespace rota

#pragma once

#include <cstdint>

#include <rota/core/config.hpp>

namespace rota {

/// Fraction bits of fixed_exp().
inline constexpr int fixed_exp_bits = 28;

/// e^-d for d >= 0 in units of 2^-28, within one unit and a relative 2e-9; 0 where it is smaller
/// than a unit, or d is NaN. After one multiplication all is integers, so that every machine and
/// compiler gives the same number: masses may then be added up and compared like counts.
ROTA_HD inline std::uint32_t fixed_exp(double d) {
  // 2^(-i/16) in units of 2^-31, i = 0 .. 15.
  static constexpr std::uint32_t sixteenths[16] = {
      0x80000000u, 0x7a92be8bu, 0x75606374u, 0x70666f76u, 0x6ba27e65u, 0x6712460bu,
      0x62b39509u, 0x5e8451d0u, 0x5a82799au, 0x56ac1f75u, 0x52ff6b55u, 0x4f7a9930u,
      0x4c1bf829u, 0x48e1e9bau, 0x45cae0f2u, 0x42d561b4u};
  if (!(d < 20)) return 0;
  const auto exponent = static_cast<std::uint64_t>(d * (1.4426950408889634 * 0x1p32));  // base 2
  const std::uint64_t low = exponent & 0x0fffffffu;  // the part below 1/16
  // Taylor series of 2^-low, coefficients ln(2)^k / k! in units of 2^-32.
  std::uint64_t r = 41309550u;
  r = 238388332u - (low * r >> 32);
  r = 1031764991u - (low * r >> 32);
  r = 2977044472u - (low * r >> 32);
  r = 0x100000000u - (low * r >> 32);
  const std::uint64_t fraction = sixteenths[exponent >> 28 & 15u] * r >> 31;
  return static_cast<std::uint32_t>(fraction >> ((exponent >> 32) + 32 - fixed_exp_bits));
}

}  // namespace rota

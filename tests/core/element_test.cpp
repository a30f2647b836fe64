#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <rota/core/element.hpp>

#include "support/random.hpp"

using namespace rota;

namespace {

/// Value of a number with a sign, `exponent_bits` and `fraction_bits`, by the definition.
double slow_value(unsigned bits, int exponent_bits, int fraction_bits) {
  const unsigned fraction = bits & ((1u << fraction_bits) - 1);
  const unsigned exponent = (bits >> fraction_bits) & ((1u << exponent_bits) - 1);
  const double sign = bits >> (exponent_bits + fraction_bits) & 1 ? -1.0 : 1.0;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const double part = std::ldexp(static_cast<double>(fraction), -fraction_bits);
  if (exponent == (1u << exponent_bits) - 1) return fraction ? NAN : sign * HUGE_VAL;
  if (exponent == 0) return sign * std::ldexp(part, 1 - bias);
  return sign * std::ldexp(1 + part, static_cast<int>(exponent) - bias);
}

/// Rounds to nearest, ties to even, by searching all positive values of the format.
unsigned slow_round(double x, int exponent_bits, int fraction_bits) {
  const unsigned sign = std::signbit(x) ? 1u << (exponent_bits + fraction_bits) : 0;
  const double a = std::abs(x);
  const unsigned infinity = ((1u << exponent_bits) - 1) << fraction_bits;
  unsigned low = 0, high = infinity;  // patterns of positive numbers ascend with their values
  while (high - low > 1) {
    const unsigned middle = low + (high - low) / 2;
    (slow_value(middle, exponent_bits, fraction_bits) <= a ? low : high) = middle;
  }
  const double below = slow_value(low, exponent_bits, fraction_bits);
  // What would come after the largest finite value is as far from it as its predecessor.
  const double above = high == infinity
                           ? 2 * below - slow_value(low - 1, exponent_bits, fraction_bits)
                           : slow_value(high, exponent_bits, fraction_bits);
  const bool up = a - below > above - a || (a - below == above - a && (low & 1));
  return sign | (up ? high : low);
}

template <class E, int ExponentBits, int FractionBits>
void check_all_patterns() {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    E e;
    e.bits = static_cast<std::uint16_t>(bits);
    const double want = slow_value(bits, ExponentBits, FractionBits);
    const float got = static_cast<float>(e);
    if (std::isnan(want)) {
      REQUIRE(std::isnan(got));
      REQUIRE(std::isnan(static_cast<float>(E(got))));  // and back it stays NaN
      REQUIRE((E(got).bits & 0x8000) == (bits & 0x8000));
    } else {
      REQUIRE(double{got} == want);
      REQUIRE(std::signbit(got) == std::signbit(want));
      REQUIRE(E(got).bits == bits);  // every value is its own nearest
    }
  }
}

template <class E, int ExponentBits, int FractionBits>
void check_rounding() {
  const auto same = [](float x) {
    REQUIRE(E(x).bits == slow_round(double{x}, ExponentBits, FractionBits));
  };
  constexpr float inf = std::numeric_limits<float>::infinity();
  const unsigned infinity = ((1u << ExponentBits) - 1) << FractionBits;
  for (unsigned bits = 0; bits < infinity; ++bits) {
    E low;
    low.bits = static_cast<std::uint16_t>(bits);
    const float a = static_cast<float>(low);
    // Halfway to the next value: exact in float, except past the largest value of bf16.
    const float b = static_cast<float>((slow_value(bits, ExponentBits, FractionBits) +
                                        slow_value(bits + 1, ExponentBits, FractionBits)) /
                                       2);
    if (!std::isfinite(b)) continue;
    for (float x : {b, std::nextafter(b, inf), std::nextafter(b, -inf), std::nextafter(a, inf)}) {
      if (!std::isfinite(x)) continue;
      same(x);
      same(-x);
    }
  }
  rota_test::random_source rng(1);
  for (int i = 0; i < 200000; ++i) {
    const float x = bit_cast<float>(static_cast<std::uint32_t>(rng.bits()));
    if (std::isfinite(x)) same(x);
  }
  CHECK(E(inf).bits == infinity);
  CHECK(E(-inf).bits == (infinity | 0x8000));
  CHECK(E(std::numeric_limits<float>::max()).bits == infinity);
  CHECK(E(-0.0f).bits == 0x8000);
}

}  // namespace

TEST_CASE("all 65536 patterns of bf16 and f16 widen to their value and come back") {
  check_all_patterns<bf16, 8, 7>();
  check_all_patterns<f16, 5, 10>();
}

TEST_CASE("floats round to the nearest bf16 and f16, ties to even") {
  check_rounding<bf16, 8, 7>();
  check_rounding<f16, 5, 10>();
}

TEST_CASE("f16 at its edges") {
  CHECK(f16(65504.0f).bits == 0x7bff);
  CHECK(f16(65519.996f).bits == 0x7bff);
  CHECK(f16(65520.0f).bits == 0x7c00);
  CHECK(f16(0x1p-24f).bits == 1);
  CHECK(f16(0x1p-25f).bits == 0);
  CHECK(f16(0x1.8p-25f).bits == 1);
}

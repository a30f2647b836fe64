#include <cmath>

#include <doctest/doctest.h>

#include <rota/core/fixed_exp.hpp>

#include "support/random.hpp"

using namespace rota;

TEST_CASE("fixed_exp is e^-d to a unit and 2e-9 relative, and never rises") {
  rota_test::random_source rng(1);
  const double unit = std::exp2(-fixed_exp_bits);
  for (int i = 0; i < 200000; ++i) {
    const double d = 25 * rng.uniform() * rng.uniform();
    const double want = std::exp(-d), got = fixed_exp(d) * unit;
    REQUIRE(std::fabs(got - want) <= 1.01 * unit + 2e-9 * want);
  }
  std::uint32_t last = fixed_exp(0);
  CHECK(last == 1u << fixed_exp_bits);
  for (double d = 0; d < 21; d += 1e-4) {
    REQUIRE(fixed_exp(d) <= last);
    last = fixed_exp(d);
  }
  CHECK(last == 0);
}

TEST_CASE("fixed_exp of what is large or no number is 0") {
  for (const double d : {19.5, 20.0, 63.0, 64.0, 1e9, 1e300, HUGE_VAL, std::nan("")})
    CHECK(fixed_exp(d) == 0);
}

// Rotary frequencies against transformers 5.2 (head_dim 16, theta 10000, 256 positions stretched
// from 64), and the rotation against its definition.
#include "engine/rope.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <vector>

#include <doctest/doctest.h>

namespace {

using rota_lm::rope;
using rota_lm::rope_config;
using rota_lm::rope_kind;
using eight = std::array<double, 8>;

void check_frequencies(const rope_config& config, const eight& expected) {
  const rope r(config, 16);
  REQUIRE(r.frequencies().size() == 8);
  for (std::size_t i = 0; i < 8; ++i) {
    CHECK(r.frequencies()[i] == doctest::Approx(expected[i]).epsilon(1e-5));
  }
}

}  // namespace

TEST_CASE("frequencies of each scaling") {
  rope_config c;
  c.kind = rope_kind::linear;
  c.factor = 4;
  check_frequencies(c, {0.25, 0.079056941, 0.025, 0.0079056947, 0.0024999999, 0.00079056947,
                        0.00025000001, 7.9056947e-05});
  c.kind = rope_kind::llama3;
  c.factor = 8;
  c.original_positions = 64;
  check_frequencies(c, {1.0, 0.24438459, 0.013042256, 0.0039528473, 0.00125, 0.00039528473,
                        0.00012500001, 3.9528473e-05});
  c.kind = rope_kind::yarn;
  c.factor = 4;
  check_frequencies(c, {1.0, 0.23717082, 0.049999997, 0.0079056947, 0.0024999999, 0.00079056947,
                        0.00025000001, 7.9056947e-05});
  c.beta_fast = 4;
  c.beta_slow = 0.5;
  c.truncate = false;
  check_frequencies(c, {1.0, 0.29152563, 0.050664395, 0.0079056947, 0.0024999999, 0.00079056947,
                        0.00025000001, 7.9056947e-05});
}

TEST_CASE("the rotation turns each pair by position times frequency") {
  rope_config c;
  c.attention_factor = 1.5;
  const rope r(c, 4);
  std::vector<float> x = {1, 2, 3, 4, 5, 6, 7, 8};  // one token, two heads
  const std::vector<float> before = x;
  r.rotate(r.angles(7, 1), 2, x);
  for (std::size_t head = 0; head < 2; ++head) {
    for (std::size_t pair = 0; pair < 2; ++pair) {
      const double angle = 7.0 * std::pow(10000.0, -0.5 * static_cast<double>(pair));
      const double a = before[head * 4 + pair];
      const double b = before[head * 4 + pair + 2];
      CHECK(x[head * 4 + pair] ==
            doctest::Approx(1.5 * (a * std::cos(angle) - b * std::sin(angle))));
      CHECK(x[head * 4 + pair + 2] ==
            doctest::Approx(1.5 * (b * std::cos(angle) + a * std::sin(angle))));
    }
  }
}

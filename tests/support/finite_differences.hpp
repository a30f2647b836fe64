#pragma once

#include <cmath>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include "support/random.hpp"

namespace rota_test {

/// Compares `gradient` with central differences of `loss`, which is called with x changed in place.
template <class Loss>
void check_gradient(const char* name, std::span<double> x, std::span<const double> gradient,
                    Loss&& loss, double tolerance = 1e-6) {
  REQUIRE(x.size() == gradient.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    INFO(name, " ", i);
    const double kept = x[i], step = 1e-5;
    x[i] = kept + step;
    const double above = loss();
    x[i] = kept - step;
    const double below = loss();
    x[i] = kept;
    CHECK(gradient[i] == doctest::Approx((above - below) / (2 * step)).epsilon(tolerance).scale(1));
  }
}

inline std::vector<double> random_numbers(random_source& rng, std::size_t count,
                                          double spread = 1) {
  std::vector<double> out(count);
  for (double& x : out) x = spread * static_cast<double>(rng.normal());
  return out;
}

inline double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace rota_test

#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <rota/train/clip.hpp>

using rota::train::clip_norm;

TEST_CASE("a gradient keeps its direction and loses its length beyond the limit") {
  std::vector<float> g = {3, 0, -4};
  CHECK(clip_norm<float>(g, 10) == doctest::Approx(5));
  CHECK(g == std::vector<float>{3, 0, -4});
  CHECK(clip_norm<float>(g, 1) == doctest::Approx(5));
  CHECK(g[0] == doctest::Approx(0.6));
  CHECK(g[2] == doctest::Approx(-0.8));
  std::vector<double> none;
  CHECK(clip_norm<double>(none, 1) == 0);
}

TEST_CASE("a gradient that is not finite is left for the caller to see") {
  std::vector<float> g = {1, std::numeric_limits<float>::quiet_NaN(), 2};
  CHECK(std::isnan(clip_norm<float>(g, 1)));
  CHECK(g[0] == 1);
  g[1] = std::numeric_limits<float>::infinity();
  CHECK(std::isinf(clip_norm<float>(g, 1)));
  CHECK(g[2] == 2);
}

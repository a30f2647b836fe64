#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <rota/lora/routing.hpp>

using namespace rota;

namespace {

std::vector<int> chosen(std::vector<float> logits, int count) {
  std::vector<int> out(static_cast<std::size_t>(count), -1);
  choose_largest(logits.data(), static_cast<int>(logits.size()), count, out.data());
  return out;
}

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr float infinite = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("the largest logits are chosen, in ascending order of their subspace") {
  CHECK(chosen({1, 5, 3, 4}, 2) == std::vector{1, 3});
  CHECK(chosen({1, 5, 3, 4}, 4) == std::vector{0, 1, 2, 3});
  CHECK(chosen({2, 2, 2}, 2) == std::vector{0, 1});
  CHECK(chosen({-0.0f, 0.0f, -1}, 1) == std::vector{0});
  CHECK(chosen({not_a_number, -infinite, not_a_number}, 2) == std::vector{0, 1});
  CHECK(chosen({not_a_number, infinite, 7}, 2) == std::vector{1, 2});
}

TEST_CASE("gates of equal logits are one") {
  const double equal[] = {0, 0, 0};
  double out[3];
  softmax_gate::gates(equal, 3, out);
  for (const double g : out) CHECK(g == doctest::Approx(1));
  sigmoid_gate::gates(equal, 3, out);
  for (const double g : out) CHECK(g == doctest::Approx(1));
}

TEST_CASE("softmax gates add up to their number, at any level of the logits") {
  for (const double level : {-800.0, 0.0, 800.0}) {
    const double z[] = {level + 1, level, level - 2, level + 0.5};
    double out[4], sum = 0;
    softmax_gate::gates(z, 4, out);
    for (const double g : out) sum += g;
    CHECK(sum == doctest::Approx(4));
    CHECK(out[0] / out[1] == doctest::Approx(std::exp(1.0)));
  }
}

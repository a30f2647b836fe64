#include <numbers>

#include <doctest/doctest.h>

#include <rota/train/cross_entropy.hpp>
#include <rota/train/rms_norm.hpp>
#include <rota/train/rope.hpp>
#include <rota/train/straight_through.hpp>
#include <rota/train/swiglu.hpp>

#include "support/finite_differences.hpp"

using namespace rota;
using namespace rota_test;

using numbers = std::vector<double>;
using in = std::span<const double>;
using out = std::span<double>;

TEST_CASE("the gradient of RMSNorm agrees with finite differences") {
  random_source rng(1);
  for (const std::size_t n : {1, 2, 7, 64}) {
    numbers x = random_numbers(rng, n), y(n), dx(n, 0.25);
    const numbers gain = random_numbers(rng, n), dy = random_numbers(rng, n);
    const double eps = 0.01;
    const double inverse = train::rms_norm(in(x), in(gain), eps, out(y));
    train::rms_norm_backward(in(x), in(gain), inverse, in(dy), out(dx));
    for (double& d : dx) d -= 0.25;  // it is added to
    check_gradient("x", x, dx, [&] {
      static_cast<void>(train::rms_norm(in(x), in(gain), eps, out(y)));
      return dot(y, dy);
    });
  }
}

TEST_CASE("the gradient of a rotation is the rotation back") {
  random_source rng(2);
  const std::size_t half = 5;
  numbers cosine(half), sine(half), x = random_numbers(rng, 2 * half + 3);
  for (std::size_t i = 0; i < half; ++i) {
    const double angle = 2 * std::numbers::pi * rng.uniform();
    cosine[i] = 1.25 * std::cos(angle);  // with an amplitude
    sine[i] = 1.25 * std::sin(angle);
  }
  const numbers dy = random_numbers(rng, 2 * half + 3);  // three channels are not rotated
  for (const rope_pairing pairing : {rope_pairing::halves, rope_pairing::interleaved}) {
    numbers dx = dy;
    train::rope_backward(in(cosine), in(sine), out(dx), pairing);
    check_gradient("x", x, dx, [&] {
      numbers y = x;
      train::rope(in(cosine), in(sine), out(y), pairing);
      return dot(y, dy);
    });
  }
  numbers turned = x;
  train::rope(in(cosine), in(sine), out(turned), rope_pairing::interleaved);
  CHECK(turned[3] == doctest::Approx(x[3] * cosine[1] + x[2] * sine[1]));
  CHECK(turned[12] == x[12]);
}

TEST_CASE("the gradients of SwiGLU agree with finite differences") {
  random_source rng(3);
  numbers gate = random_numbers(rng, 40, 3), up = random_numbers(rng, 40), y(40);
  const numbers dy = random_numbers(rng, 40);
  numbers dgate(40), dup(40);
  train::swiglu_backward(in(gate), in(up), in(dy), out(dgate), out(dup));
  const auto loss = [&] {
    train::swiglu(in(gate), in(up), out(y));
    return dot(y, dy);
  };
  check_gradient("gate", gate, dgate, loss);
  check_gradient("up", up, dup, loss);
}

TEST_CASE("the gradient of cross-entropy agrees with finite differences, in place too") {
  random_source rng(4);
  numbers z = random_numbers(rng, 30, 4);
  numbers gradient(30);
  CHECK(train::cross_entropy(in(z), 7, 0.5, {}) ==
        train::cross_entropy(in(z), 7, 0.5, out(gradient)));
  check_gradient("logits", z, gradient,
                 [&] { return 0.5 * train::cross_entropy(in(z), 7, 0.5, {}); });
  train::cross_entropy(in(z), 7, 0.5, out(z));
  for (std::size_t i = 0; i < z.size(); ++i) CHECK(z[i] == gradient[i]);
}

TEST_CASE("cross-entropy of large logits neither overflows nor loses its target") {
  const numbers z = {1e4, -1e4, 1e4};
  CHECK(train::cross_entropy(in(z), 0, 1, {}) == doctest::Approx(std::log(2.0)));
  CHECK(train::cross_entropy(in(z), 1, 1, {}) == doctest::Approx(2e4 + std::log(2.0)));
}

TEST_CASE("a straight-through choice is hard, its slope that of the sigmoid") {
  const train::straight_through<double> choice{0.5};
  const numbers z = {0.5, -1, 2, 0.5, 0.5};
  numbers kept(5), slopes(5);
  choice.keep_above(in(z), 0.5, out(kept), out(slopes));
  CHECK(kept == numbers{1, 0, 1, 1, 1});
  CHECK(slopes[0] == doctest::Approx(0.25 / 0.5));
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-(x - 0.5) / 0.5)); };
  CHECK(slopes[2] == doctest::Approx((sigmoid(2 + 1e-6) - sigmoid(2 - 1e-6)) / 2e-6).epsilon(1e-6));

  choice.keep_largest(in(z), 2, out(kept), out(slopes));
  CHECK(kept == numbers{1, 0, 1, 0, 0});     // of equal ones the first
  CHECK(slopes[0] == doctest::Approx(0.5));  // the threshold lies at the equal ones
  choice.keep_largest(in(z), 1, out(kept), out(slopes));
  CHECK(kept == numbers{0, 0, 1, 0, 0});
  CHECK(slopes[2] == doctest::Approx(slopes[0]));  // as far from the threshold, 1.25
  for (const std::size_t count : {std::size_t{0}, std::size_t{5}}) {
    choice.keep_largest(in(z), count, out(kept), out(slopes));
    for (std::size_t i = 0; i < 5; ++i) {
      CHECK(kept[i] == (count == 5 ? 1 : 0));
      CHECK(slopes[i] == 0);
    }
  }
}

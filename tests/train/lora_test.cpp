#include <doctest/doctest.h>

#include <rota/cpu/train/lora.hpp>
#include <rota/lora/reference.hpp>

#include "support/finite_differences.hpp"

using namespace rota;
using namespace rota_test;

namespace {

using matrix = cpu::train_matrix<double>;

matrix random_matrix(random_source& rng, index_t rows, index_t columns) {
  matrix m(rows, columns);
  for (index_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<double>(rng.normal());
  return m;
}
std::span<double> flat(matrix& m) {
  return {m.data(), static_cast<std::size_t>(m.size())};
}

std::vector<train::lora_shape> shapes() {
  const index_t in = 6, out = 5;
  using train::gate_kind;
  return {{in, out, 3, 1, 1, gate_kind::softmax, 2.0},
          {in, out, 8, 4, 2, gate_kind::softmax, 8.0},
          {in, out, 8, 4, 2, gate_kind::sigmoid, 8.0},
          {in, out, 4, 4, 4, gate_kind::softmax, 4.0},
          {in, out, 6, 2, 1, gate_kind::sigmoid, 1.0}};
}

}  // namespace

TEST_CASE("every gradient of an adapter agrees with finite differences, balance term included") {
  random_source rng(11);
  for (const train::lora_shape& shape : shapes()) {
    CAPTURE(shape.subspaces);
    CAPTURE(shape.active);
    const cpu::lora_layer<double> layer(shape);
    std::vector<double> w = random_numbers(rng, static_cast<std::size_t>(shape.parameters()));
    matrix x = random_matrix(rng, 7, shape.in);
    const matrix dy = random_matrix(rng, 7, shape.out);
    const double balance = shape.routed() ? 3.0 : 0.0;
    const auto loss = [&] {
      matrix y = matrix::Zero(7, shape.out);
      const auto pass = layer.forward({shape, w.data()}, x, y);
      return (y.array() * dy.array()).sum() + balance * pass.balance;
    };
    matrix y = matrix::Zero(7, shape.out), dx = matrix::Zero(7, shape.in);
    std::vector<double> gradient(w.size());
    const auto pass = layer.forward({shape, w.data()}, x, y);
    layer.backward({shape, w.data()}, x, pass, dy, balance, dx, {shape, gradient.data()});
    check_gradient("weights", w, gradient, loss);
    check_gradient("x", flat(x), flat(dx), loss);
  }
}

TEST_CASE("an adapter under training gives what the operator's reference gives") {
  random_source rng(12);
  const train::lora_shape shape{6, 5, 8, 4, 2, train::gate_kind::softmax, 8.0};
  std::vector<float> w(static_cast<std::size_t>(shape.parameters()));
  for (float& v : w) v = rng.normal();
  cpu::train_matrix<float> x(9, shape.in), y = cpu::train_matrix<float>::Zero(9, shape.out);
  for (index_t i = 0; i < x.size(); ++i) x.data()[i] = rng.normal();
  const cpu::lora_layer<float> layer(shape);
  static_cast<void>(layer.forward({shape, w.data()}, x, y));

  const train::lora_views<const float> v(shape, w.data());
  lora_weights<float> weights;
  weights.down = v.down;
  weights.up = v.up;
  weights.router = v.router;
  weights.router_bias = v.router_bias;
  weights.alpha = 8;
  for (index_t t = 0; t < x.rows(); ++t) {
    const auto expected =
        reference::lora_of_token<routed_lora<4, 2>, float>(weights, x.row(t).data());
    for (index_t j = 0; j < shape.out; ++j)
      CHECK(static_cast<double>(y(t, j)) ==
            doctest::Approx(expected.y[static_cast<std::size_t>(j)]).epsilon(1e-4));
  }
}

TEST_CASE("the balance term is 1 for even use, and more where one subspace takes all") {
  const train::lora_shape shape{4, 2, 4, 4, 1, train::gate_kind::softmax, 1.0};
  std::vector<double> w(static_cast<std::size_t>(shape.parameters()));
  const train::lora_views<double> v(shape, w.data());
  const cpu::lora_layer<double> layer(shape);
  const matrix x = 8 * matrix::Identity(4, 4);
  matrix y = matrix::Zero(4, 2);
  for (index_t i = 0; i < 4; ++i) v.router(i, i) = 1;  // token i chooses subspace i
  CHECK(layer.forward({shape, w.data()}, x, y).balance == doctest::Approx(1).epsilon(1e-9));
  v.router_bias(2) = 100;
  CHECK(layer.forward({shape, w.data()}, x, y).balance == doctest::Approx(4));
}

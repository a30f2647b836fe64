#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rota/basis/fold.hpp>
#include <rota/basis/hadamard.hpp>
#include <rota/cpu/basis.hpp>

#include "support/random.hpp"

using namespace rota;
using namespace rota_test;

namespace {

struct owned_basis {
  std::vector<float> numbers;
  view<float, 3> v;
  owned_basis(index_t heads, index_t d)
      : numbers(static_cast<std::size_t>(heads * d * d)), v(numbers.data(), heads, d, d) {}
  view<const float, 3> get() const { return v; }
};

double worst_from_identity(const owned_basis& b) {
  const index_t d = b.v.extent[1];
  double worst = 0;
  for (index_t h = 0; h < b.v.extent[0]; ++h)
    for (index_t i = 0; i < d; ++i)
      for (index_t j = 0; j < d; ++j) {
        double dot = 0;
        for (index_t c = 0; c < d; ++c)
          dot += static_cast<double>(b.v(h, i, c)) * static_cast<double>(b.v(h, j, c));
        worst = std::max(worst, std::fabs(dot - (i == j ? 1 : 0)));
      }
  return worst;
}

std::vector<float> random_floats(random_source& rng, index_t n) {
  std::vector<float> out(static_cast<std::size_t>(n));
  for (float& x : out) x = rng.normal();
  return out;
}

/// Moments whose directions and their order are known: R' diag R.
std::vector<double> known_moments(const owned_basis& r, index_t d) {
  std::vector<double> out(static_cast<std::size_t>(d * d));
  for (index_t i = 0; i < d; ++i)
    for (index_t j = 0; j < d; ++j)
      for (index_t k = 0; k < d; ++k)
        out[static_cast<std::size_t>(i * d + j)] += static_cast<double>(d - k) *
                                                    static_cast<double>(r.v(0, k, i)) *
                                                    static_cast<double>(r.v(0, k, j));
  return out;
}

}  // namespace

TEST_CASE("every basis is orthogonal") {
  for (const index_t d : {1, 2, 8, 64}) {
    owned_basis b(3, d);
    REQUIRE(hadamard_basis(b.v).ok());
    CHECK(worst_from_identity(b) < 1e-5);
    REQUIRE(identity_basis(b.v).ok());
    CHECK(worst_from_identity(b) == 0);
    REQUIRE(cpu::random_basis(7, b.v).ok());
    CHECK(worst_from_identity(b) < 1e-5);
    owned_basis again(3, d), other(3, d);
    REQUIRE(cpu::random_basis(7, again.v).ok());
    REQUIRE(cpu::random_basis(8, other.v).ok());
    CHECK(again.numbers == b.numbers);
    if (d > 1) CHECK(other.numbers != b.numbers);
  }
}

TEST_CASE("the PCA basis has the directions of the values, the largest first") {
  const index_t d = 12;
  owned_basis truth(1, d), found(1, d);
  REQUIRE(cpu::random_basis(3, truth.v).ok());
  const std::vector<double> moments = known_moments(truth, d);
  REQUIRE(cpu::pca_basis(view<const double, 3>(moments.data(), 1, d, d), found.v).ok());
  for (index_t i = 0; i < d; ++i) {
    double dot = 0;
    for (index_t c = 0; c < d; ++c)
      dot += static_cast<double>(truth.v(0, i, c)) * static_cast<double>(found.v(0, i, c));
    CHECK(std::fabs(dot) == doctest::Approx(1).epsilon(1e-5));
  }
}

TEST_CASE("values in another basis, read through a folded output projection, are the same") {
  random_source rng(4);
  const index_t d = 6, kv_heads = 2, q_heads = 4, in = 5, hidden = 3;
  owned_basis r(kv_heads, d);
  REQUIRE(cpu::random_basis(9, r.v).ok());
  std::vector<float> w_v = random_floats(rng, kv_heads * d * in),
                     b_v = random_floats(rng, kv_heads * d);
  std::vector<float> w_o = random_floats(rng, hidden * q_heads * d);
  const std::vector<float> x = random_floats(rng, in), before_w = w_v, before_b = b_v,
                           before_o = w_o;
  // Every query head reads its kv head's value whole: what attention of one token does.
  const auto run = [&] {
    std::vector<double> out(static_cast<std::size_t>(hidden));
    for (index_t h = 0; h < q_heads; ++h)
      for (index_t c = 0; c < d; ++c) {
        const index_t row = h / (q_heads / kv_heads) * d + c;
        double v = static_cast<double>(b_v[static_cast<std::size_t>(row)]);
        for (index_t j = 0; j < in; ++j)
          v += static_cast<double>(w_v[static_cast<std::size_t>(row * in + j)]) *
               static_cast<double>(x[static_cast<std::size_t>(j)]);
        for (index_t o = 0; o < hidden; ++o)
          out[static_cast<std::size_t>(o)] +=
              v * static_cast<double>(w_o[static_cast<std::size_t>((o * q_heads + h) * d + c)]);
      }
    return out;
  };
  const std::vector<double> before = run();
  const view<float, 2> weight(w_v.data(), kv_heads * d, in), bias(b_v.data(), 1, kv_heads * d);
  const view<float, 2> output(w_o.data(), hidden, q_heads * d);
  const auto fold = [&](bool back) {
    CHECK(fold_columns(r.get(), weight, back).ok());
    CHECK(fold_rows(r.get(), bias, back).ok());
    CHECK(fold_rows(r.get(), output, back).ok());
  };
  fold(false);
  CHECK(w_v != before_w);
  const std::vector<double> after = run();
  for (std::size_t i = 0; i < after.size(); ++i)
    CHECK(after[i] == doctest::Approx(before[i]).epsilon(1e-5).scale(1));
  fold(true);
  for (std::size_t i = 0; i < w_v.size(); ++i)
    CHECK(w_v[i] == doctest::Approx(before_w[i]).epsilon(1e-5).scale(1));
  for (std::size_t i = 0; i < w_o.size(); ++i)
    CHECK(w_o[i] == doctest::Approx(before_o[i]).epsilon(1e-5).scale(1));
}

TEST_CASE("bases and folds refuse other shapes") {
  owned_basis six(1, 6);
  CHECK(hadamard_basis(six.v) == errc::bad_shape);
  CHECK(hadamard_basis({}) == errc::bad_shape);
  std::vector<double> moments(25, std::nan(""));
  CHECK(cpu::pca_basis(view<const double, 3>(moments.data(), 1, 5, 5), six.v) == errc::bad_shape);
  owned_basis five(1, 5);
  CHECK(cpu::pca_basis(view<const double, 3>(moments.data(), 1, 5, 5), five.v) ==
        errc::bad_parameter);
  std::vector<float> rows(12);
  CHECK(fold_rows(five.get(), view<float, 2>(rows.data(), 1, 12)) == errc::bad_shape);
  CHECK(fold_columns(five.get(), view<float, 2>(rows.data(), 4, 3)) == errc::bad_shape);
  CHECK(fold_rows({}, view<float, 2>(rows.data(), 1, 12)) == errc::bad_shape);
}

#include <doctest/doctest.h>

#include <rota/attend/reference.hpp>
#include <rota/cpu/train/attention.hpp>
#include <rota/cpu/train/value_fill.hpp>

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

struct case_of_attention {
  index_t q_heads, kv_heads, head_dim, tokens, prefix, window;
};

cpu::train_attention<double> layer_of(const case_of_attention& c) {
  cpu::train_attention<double> a;
  a.q_heads = c.q_heads;
  a.kv_heads = c.kv_heads;
  a.head_dim = c.head_dim;
  a.prefix = c.prefix;
  a.sliding_window = c.window;
  return a;
}

/// One output row by the definition.
std::vector<double> by_hand(const case_of_attention& c, const matrix& q, const matrix& k,
                            const matrix& v, const matrix& stored, index_t query, index_t head) {
  const index_t kv = head / (c.q_heads / c.kv_heads) * c.head_dim;
  std::vector<double> out(static_cast<std::size_t>(c.head_dim));
  double sum = 0;
  for (index_t j = 0; j <= query; ++j) {
    if (c.window != 0 && query - j >= c.window) continue;
    const double logit =
        q.row(query).segment(head * c.head_dim, c.head_dim).dot(k.row(j).segment(kv, c.head_dim)) /
        std::sqrt(static_cast<double>(c.head_dim));
    sum += std::exp(logit);
    const matrix& values = query >= c.prefix && j < c.prefix ? stored : v;
    for (index_t i = 0; i < c.head_dim; ++i)
      out[static_cast<std::size_t>(i)] += std::exp(logit) * values(j, kv + i);
  }
  for (double& x : out) x /= sum;
  return out;
}

const std::vector<case_of_attention> cases = {{2, 1, 3, 7, 4, 0},  {4, 2, 2, 6, 6, 0},
                                              {1, 1, 4, 5, 0, 0},  {2, 2, 3, 9, 5, 3},
                                              {2, 1, 2, 8, 3, 20}, {6, 2, 2, 5, 1, 2}};

}  // namespace

TEST_CASE("attention under training is attention by its definition") {
  random_source rng(21);
  std::vector<case_of_attention> all = cases;
  all.push_back({2, 1, 4, 300, 170, 0});  // several blocks
  all.push_back({2, 1, 4, 300, 170, 140});
  for (const case_of_attention& c : all) {
    const matrix q = random_matrix(rng, c.tokens, c.q_heads * c.head_dim);
    const matrix k = random_matrix(rng, c.tokens, c.kv_heads * c.head_dim);
    const matrix v = random_matrix(rng, c.tokens, c.kv_heads * c.head_dim);
    const matrix stored = random_matrix(rng, c.prefix, c.kv_heads * c.head_dim);
    matrix out;
    static_cast<void>(layer_of(c).forward({q, k, v, stored}, out));
    for (index_t query = 0; query < c.tokens; ++query)
      for (index_t head = 0; head < c.q_heads; ++head) {
        const auto expected = by_hand(c, q, k, v, stored, query, head);
        for (index_t i = 0; i < c.head_dim; ++i)
          CHECK(out(query, head * c.head_dim + i) ==
                doctest::Approx(expected[static_cast<std::size_t>(i)]).epsilon(1e-9).scale(1));
      }
  }
}

TEST_CASE("every gradient of attention over a store agrees with finite differences") {
  random_source rng(22);
  for (const case_of_attention& c : cases) {
    CAPTURE(c.tokens);
    CAPTURE(c.window);
    const auto layer = layer_of(c);
    matrix q = random_matrix(rng, c.tokens, c.q_heads * c.head_dim);
    matrix k = random_matrix(rng, c.tokens, c.kv_heads * c.head_dim);
    matrix v = random_matrix(rng, c.tokens, c.kv_heads * c.head_dim);
    matrix stored = random_matrix(rng, c.prefix, c.kv_heads * c.head_dim);
    const matrix dout = random_matrix(rng, q.rows(), q.cols());
    matrix out;
    const auto loss = [&] {
      static_cast<void>(layer.forward({q, k, v, stored}, out));
      return (out.array() * dout.array()).sum();
    };
    const auto weights = layer.forward({q, k, v, stored}, out);
    matrix dq = matrix::Zero(q.rows(), q.cols()), dk = matrix::Zero(k.rows(), k.cols()), dv = dk;
    matrix dstored = matrix::Zero(stored.rows(), stored.cols());
    layer.backward({q, k, v, stored}, weights, dout, {dq, dk, dv, dstored});
    check_gradient("q", flat(q), flat(dq), loss);
    check_gradient("k", flat(k), flat(dk), loss);
    check_gradient("v", flat(v), flat(dv), loss);
    check_gradient("stored", flat(stored), flat(dstored), loss);
  }
}

TEST_CASE("every gradient of the fills agrees with finite differences, the mask's too") {
  random_source rng(23);
  for (const cpu::fill_kind kind :
       {cpu::fill_kind::zero, cpu::fill_kind::mean, cpu::fill_kind::low_rank}) {
    cpu::train_fill<double> fill;
    fill.kind = kind;
    fill.kv_heads = 2;
    fill.head_dim = 6;
    fill.width = 2;
    fill.rank = 2;
    matrix v = random_matrix(rng, 5, 12), mask(5, 6);
    for (index_t i = 0; i < mask.size(); ++i) mask.data()[i] = rng.uniform();
    std::vector<double> encode = random_numbers(rng, 24), decode = random_numbers(rng, 24);
    const auto view_of = [](std::vector<double>& x) { return view<double, 3>(x.data(), 2, 2, 6); };
    const cpu::train_fill<double>::codec<const double> codec{view_of(encode), view_of(decode)};
    const matrix dstored = random_matrix(rng, 5, 12);
    matrix stored;
    const auto loss = [&] {
      static_cast<void>(fill.forward(v, mask, codec, stored));
      return (stored.array() * dstored.array()).sum();
    };
    const auto pass = fill.forward(v, mask, codec, stored);
    matrix dv = matrix::Zero(5, 12), dmask;
    std::vector<double> dencode(24), ddecode(24);
    fill.backward(v, codec, pass, dstored, dv, dmask, {view_of(dencode), view_of(ddecode)});
    check_gradient("v", flat(v), flat(dv), loss);
    check_gradient("mask", flat(mask), flat(dmask), loss);
    if (kind != cpu::fill_kind::low_rank) continue;
    check_gradient("encode", encode, dencode, loss);
    check_gradient("decode", decode, ddecode, loss);
  }
}

TEST_CASE("a fill leaves kept groups as they are, to the bit") {
  random_source rng(24);
  cpu::train_fill<float> fill;
  fill.kind = cpu::fill_kind::mean;
  fill.kv_heads = 1;
  fill.head_dim = 4;
  fill.width = 2;
  cpu::train_matrix<float> v(3, 4), mask(3, 2), stored;
  for (index_t i = 0; i < v.size(); ++i) v.data()[i] = rng.normal();
  mask << 1, 0, 0, 0, 1, 1;
  static_cast<void>(fill.forward(v, mask, {}, stored));
  CHECK(stored(0, 0) == v(0, 0));
  CHECK(stored(2, 3) == v(2, 3));
  CHECK(stored(0, 2) == doctest::Approx((v(0, 2) + v(1, 2)) / 2));  // of the dropped slices
  CHECK(stored(1, 2) == stored(0, 2));
  CHECK(stored(1, 0) == v(1, 0));  // the only one dropped
}

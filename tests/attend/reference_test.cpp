#include <cmath>

#include <doctest/doctest.h>

#include <rota/attend/reference.hpp>

#include "support/fake_store.hpp"
#include "support/plain_stores.hpp"

// The oracle itself, on cases small enough to be worked out by hand.

namespace {

using namespace rota;
using namespace rota_test;

/// Two tokens, one head: keys (1, 0), (0, 1); values (1, 2), (3, 4).
struct two_tokens {
  float keys[4] = {1, 0, 0, 1}, values[4] = {1, 2, 3, 4}, q[2] = {1, 3};
  double out[4] = {}, lse[2] = {};
  dense_store<f32> store;
  attend_item<dense_store<f32>> item;

  explicit two_tokens(index_t queries = 1) {
    store.keys = view<f32, 3>(keys, 1, 2, 2);
    store.values = view<f32, 3>(values, 1, 2, 2);
    store.length = 2;
    item.q = view<const float, 3>(q, {queries, 1, 2}, {0, 2, 1});  // the same query throughout
    item.store = &store;
  }
  void run(const attend_params& p) {
    const index_t n = item.q.extent[0];
    reference::attend(item, p, view<double, 3>(out, n, 1, 2), view<double, 2>(lse, n, 1));
  }
};

}  // namespace

TEST_CASE("two tokens by hand") {
  two_tokens t;
  t.run({0.5f, true, 0});
  const double a = std::exp(0.5), b = std::exp(1.5);
  CHECK(t.out[0] == doctest::Approx((a * 1 + b * 3) / (a + b)));
  CHECK(t.out[1] == doctest::Approx((a * 2 + b * 4) / (a + b)));
  CHECK(t.lse[0] == doctest::Approx(std::log(a + b)));
}

TEST_CASE("the default scale is 1 / sqrt(d_k)") {
  two_tokens t;
  t.run({});
  CHECK(t.lse[0] ==
        doctest::Approx(std::log(std::exp(1 / std::sqrt(2.0)) + std::exp(3 / std::sqrt(2.0)))));
}

TEST_CASE("causality and windows by position") {
  two_tokens t(2);
  t.run({1, true, 0});
  CHECK(t.lse[0] == doctest::Approx(1));  // the first query sees the first token only
  CHECK(t.out[0] == doctest::Approx(1));
  CHECK(t.lse[1] == doctest::Approx(std::log(std::exp(1.0) + std::exp(3.0))));
  t.run({1, true, 1});
  CHECK(t.lse[1] == doctest::Approx(3));  // the second one only itself
  CHECK(t.out[3] == doctest::Approx(4));
  t.run({1, false, 0});
  CHECK(t.lse[0] == doctest::Approx(t.lse[1]));
  t.store.length = 0;
  t.run({1, false, 0});
  CHECK(t.out[0] == 0.0);
  CHECK(t.lse[0] == -INFINITY);
}

TEST_CASE("a token is expanded the same from every value order") {
  random_source rng(1);
  const index_t d_v = 24, width = 8;
  const std::vector<float> means{0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
                                 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23};
  // Token 0 keeps groups 0 and 2, token 1 none, token 2 group 1.
  const group_mask masks[3] = {0b101, 0, 0b010};
  const std::uint16_t token_starts[4] = {0, 2, 2, 3}, group_starts[4] = {0, 1, 2, 3};
  const std::uint8_t members[3] = {0, 2, 0};
  std::vector<float> by_token, by_group;
  for (int slice : {0, 2, 1})
    for (int c = 0; c < 8; ++c) by_token.push_back(static_cast<float>(100 + 10 * slice + c));
  for (int slice : {0, 1, 2})
    for (int c = 0; c < 8; ++c) by_group.push_back(static_cast<float>(100 + 10 * slice + c));
  block<f32> t, g;
  t.count = g.count = 3;
  t.order = value_order::token_major;
  t.values = by_token.data();
  t.masks = masks;
  t.starts = token_starts;
  g.order = value_order::group_major;
  g.values = by_group.data();
  g.starts = group_starts;
  g.members = members;
  for (const float* of : {static_cast<const float*>(nullptr), means.data()}) {
    const reference::stand_ins<f32> fill{of, nullptr, 0};
    for (index_t j = 0; j < 3; ++j) {
      double a[24], b[24];
      group_mask from_t = 0, from_g = 0;
      reference::expand_token(t, j, d_v, width, fill, a, &from_t);
      reference::expand_token(g, j, d_v, width, fill, b, &from_g);
      CHECK(from_t == masks[j]);
      CHECK(from_g == masks[j]);
      for (index_t c = 0; c < d_v; ++c) {
        const bool kept = (masks[j] >> (c / width)) & 1;
        const double filled = of != nullptr ? static_cast<double>(c) : 0.0;
        const double want = kept ? static_cast<double>(100 + 10 * (c / width) + c % width) : filled;
        CHECK(a[c] == want);
        CHECK(b[c] == want);
      }
    }
  }
}

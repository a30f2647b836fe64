#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rota/budget/adaptive_span.hpp>
#include <rota/budget/at_most.hpp>
#include <rota/budget/entropy_span.hpp>
#include <rota/budget/fixed_k.hpp>
#include <rota/budget/global_top_m.hpp>
#include <rota/budget/head_adaptive.hpp>
#include <rota/budget/k_by_type.hpp>
#include <rota/budget/keep_ratio.hpp>
#include <rota/budget/pyramid.hpp>

#include "support/random.hpp"

using namespace rota;

static_assert(counting_budget<keep_ratio> && keep_ratio::scope == budget_scope::head);
static_assert(counting_budget<fixed_k> && fixed_k::scope == budget_scope::row);
static_assert(counting_budget<global_top_m> && global_top_m::scope == budget_scope::span);
static_assert(counting_budget<keep_ratio_in<budget_scope::span>>);
static_assert(top_m<budget_scope::layer>::scope == budget_scope::layer);
static_assert(floored_budget<head_adaptive> && !floored_budget<keep_ratio>);
static_assert(counting_budget<pyramid> && pyramid::scope == budget_scope::head);
static_assert(threshold_budget<adaptive_span> && !counting_budget<adaptive_span>);
static_assert(row_budget<entropy_span> && !counting_budget<entropy_span>);

TEST_CASE("keep_ratio rounds to the nearest") {
  CHECK(keep_ratio::count({0.5}, 7) == 4);
  CHECK(keep_ratio::count({0.25}, 1024) == 256);
  CHECK(keep_ratio::count({0}, 1024) == 0);
  CHECK(keep_ratio::count({1}, 1024) == 1024);
  CHECK(keep_ratio::count({0.3}, 0) == 0);
  // Ratios that say a count exactly give it, whatever the number of items.
  for (index_t n = 1; n < 3000; n += 7)
    for (index_t k = 0; k <= n; k += 13)
      REQUIRE(keep_ratio::count({static_cast<double>(k) / static_cast<double>(n)}, n) == k);
  for (double bad : {-1e-9, 1 + 1e-9, std::nan(""), HUGE_VAL}) {
    CHECK(keep_ratio::check({bad}) == errc::bad_ratio);
    CHECK(std::string(keep_ratio::check({bad}).argument) == "ratio");
  }
  CHECK(keep_ratio::check({-0.0}).ok());
}

TEST_CASE("counts above what there is keep all") {
  CHECK(fixed_k::count({5}, 3) == 3);
  CHECK(fixed_k::count({5}, 8) == 5);
  CHECK(fixed_k::check({-1}) == errc::bad_count);
  CHECK(global_top_m::count({5}, 3) == 3);
  CHECK(global_top_m::count({0}, 3) == 0);
  CHECK(global_top_m::check({-1}) == errc::bad_count);
}

TEST_CASE("at_most keeps what its budget keeps, up to a ratio of the items") {
  using capped = at_most<fixed_k>;
  static_assert(counting_budget<capped> && capped::scope == budget_scope::row);
  for (index_t items = 0; items < 40; ++items)
    for (index_t k = 0; k < 40; ++k)
      for (const double ratio : {0.0, 0.3, 0.5, 1.0})
        CHECK(capped::count({{k}, ratio}, items) ==
              std::min(std::min(k, items), keep_ratio::count({ratio}, items)));
  CHECK(capped::check({{1}, 1.5}) == errc::bad_ratio);
  CHECK(capped::check({{1}, std::nan("")}) == errc::bad_ratio);
  CHECK(capped::check({{-1}, 0.5}) == errc::bad_count);
  CHECK(capped::check({{1}, 0.5}).ok());
  fingerprint a, b, c;
  capped::describe({{1}, 0.5}, a);
  capped::describe({{2}, 0.5}, b);
  capped::describe({{1}, 0.25}, c);
  CHECK(a.value() != b.value());
  CHECK(a.value() != c.value());
}

TEST_CASE("a cap passes on whatever form of count a budget has") {
  static_assert(floored_budget<at_most<head_adaptive>> && !floored_budget<at_most<keep_ratio>>);
  static_assert(counting_budget<at_most<pyramid>> && !typed_budget<at_most<pyramid>>);
  static_assert(typed_budget<at_most<k_by_type<2>>> && !counting_budget<at_most<k_by_type<2>>>);
  static_assert(counting_budget<at_most<at_most<pyramid>>>);
  CHECK(at_most<head_adaptive>::floor({{1, 0, 0.2}, 0.4}, 100, 4) == 5);
  const pyramid::params p{0.4, 0, 4, 10};
  for (index_t l = 0; l < 3; ++l) {
    const budget_place at{{l, 3}, 0, 1};
    CHECK(budget_count<at_most<pyramid>>({p, 1}, 100, at) == pyramid::count(p, 100, at));
    CHECK(budget_count<at_most<pyramid>>({p, 0.5}, 100, at) ==
          std::min<index_t>(50, pyramid::count(p, 100, at)));
  }
  CHECK(at_most<k_by_type<2>>::count_of_type({{{3, 8}}, 0.5}, 8, 0) == 3);
  CHECK(at_most<k_by_type<2>>::count_of_type({{{3, 8}}, 0.5}, 8, 1) == 4);
}

TEST_CASE("adaptive_span's threshold may be infinite but not NaN") {
  constexpr float inf = std::numeric_limits<float>::infinity();
  CHECK(adaptive_span::check({-inf}).ok());
  CHECK(adaptive_span::check({inf}).ok());
  CHECK(adaptive_span::check({NAN}) == errc::bad_parameter);
  CHECK(adaptive_span::threshold({0.5f}) == 0.5f);
}

TEST_CASE("head_adaptive's floor is the safeguard's share of the mean, one at least") {
  const auto floor = [](double safeguard, index_t count, index_t rows) {
    return head_adaptive::floor({1, 0, safeguard}, count, rows);
  };
  CHECK(floor(0.2, 100, 4) == 5);
  CHECK(floor(0.2, 119, 4) == 5);  // of 29
  CHECK(floor(0.2, 19, 4) == 1);
  CHECK(floor(0.2, 3, 4) == 0);  // fewer than heads
  CHECK(floor(0, 100, 4) == 0);
  CHECK(floor(1, 100, 4) == 25);
  CHECK(head_adaptive::count({0.5, 0, 0.2}, 7) == 4);
  CHECK(head_adaptive::count({0.5, 5, 0.2}, 7) == 5);
  CHECK(head_adaptive::count({0.5, 9, 0.2}, 7) == 7);
}

TEST_CASE("a pyramid falls, stays in bounds and keeps the mean") {
  rota_test::random_source rng(1);
  int steep = 0;
  for (int round = 0; round < 5000; ++round) {
    const index_t n = rng.below(3000), layers = rng.between(1, 40);
    pyramid::params p;
    p.ratio = rng.uniform();
    if (rng.chance(0.3)) p.m = rng.below(n + 5);
    p.window = rng.chance(0.5) ? rng.below(10) : rng.below(n + 10);
    p.beta = 1 + 40 * rng.uniform();
    const double mean =
        p.m > 0 ? static_cast<double>(std::min(p.m, n)) : p.ratio * static_cast<double>(n);
    index_t last = n, sum = 0, first = 0;
    for (index_t l = 0; l < layers; ++l) {
      const index_t count = pyramid::count(p, n, {l, layers});
      REQUIRE(count >= 0);
      REQUIRE(count <= last);
      if (l == 0) first = count;
      last = count;
      sum += count;
    }
    CAPTURE(round);
    if (layers > 1 && first > last + 1) {
      ++steep;
      CHECK(last >= p.window);
      // Each layer rounds by half at most.
      const auto L = static_cast<double>(layers);
      CHECK(std::fabs(static_cast<double>(sum) - L * mean) <= 0.5 * L + 1e-6);
    }
  }
  CHECK(steep > 1000);
}

TEST_CASE("a pyramid without room for one gives all layers the mean") {
  pyramid::params p;
  p.ratio = 0.1;
  CHECK(pyramid::count(p, 100, {0, 4}) == 10);  // 10 / 20 is below the window
  CHECK(pyramid::count(p, 100, {3, 4}) == 10);
  CHECK(pyramid::count(p, 3, {3, 4}) == 1);
  CHECK(pyramid::count(p, 0, {3, 4}) == 0);
  p.ratio = 0;
  CHECK(pyramid::count(p, 100, {0, 4}) == 0);
  p.ratio = 1;
  CHECK(pyramid::count(p, 100, {0, 4}) == 100);
}

TEST_CASE("entropy_span takes the fewest groups that reach the mass") {
  const auto count = [](double mass, std::vector<float> s) {
    return entropy_span::row_count({mass}, s.data(), static_cast<int>(s.size()));
  };
  CHECK(count(0.5, {1, 1, 1, 1}) == 2);  // just reached
  CHECK(count(0.500001, {1, 1, 1, 1}) == 3);
  CHECK(count(0.7, {std::log(8.0f), 0, 0}) == 1);
  CHECK(count(0.85, {std::log(8.0f), 0, 0}) == 2);
  CHECK(count(0, {1, 1}) == 0);
  CHECK(count(1, {100, 0, -100, -HUGE_VALF}) == 4);
  CHECK(count(0.999, {HUGE_VALF, 1}) == 1);
  CHECK(count(0.999, {-HUGE_VALF, -HUGE_VALF}) == 2);
  CHECK(count(0.9, {3e38f, -3e38f}) == 1);
  CHECK(count(0.9, {}) == 0);
  CHECK(entropy_span::check({1.01}) == errc::bad_ratio);
  CHECK(entropy_span::check({NAN}) == errc::bad_ratio);
}

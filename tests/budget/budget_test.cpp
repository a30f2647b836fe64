#include <cmath>
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include <rota/budget/adaptive_span.hpp>
#include <rota/budget/at_most.hpp>
#include <rota/budget/fixed_k.hpp>
#include <rota/budget/global_top_m.hpp>
#include <rota/budget/keep_ratio.hpp>

using namespace rota;

static_assert(counting_budget<keep_ratio> && keep_ratio::scope == budget_scope::head);
static_assert(counting_budget<fixed_k> && fixed_k::scope == budget_scope::row);
static_assert(counting_budget<global_top_m> && global_top_m::scope == budget_scope::span);
static_assert(threshold_budget<adaptive_span> && !counting_budget<adaptive_span>);

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

TEST_CASE("adaptive_span's threshold may be infinite but not NaN") {
  constexpr float inf = std::numeric_limits<float>::infinity();
  CHECK(adaptive_span::check({-inf}).ok());
  CHECK(adaptive_span::check({inf}).ok());
  CHECK(adaptive_span::check({NAN}) == errc::bad_parameter);
  CHECK(adaptive_span::threshold({0.5f}) == 0.5f);
}

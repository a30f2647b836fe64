#include <doctest/doctest.h>

#include "support/select_compare.hpp"

// Budgets of every scope, with floors, by layer and by a token's softmax mass, against sorting.

using namespace rota;
using namespace rota_test;

namespace {

/// A budget at either level, beside a plain one at the other.
template <class Budget>
void compare_levels(std::uint64_t seed, index_t longest, tally& seen) {
  compare<Budget, keep_all>(seed, longest, seen);
  compare<Budget, keep_ratio>(seed, longest, seen);
  compare<Budget, Budget>(seed, longest, seen);
  compare<keep_all, Budget>(seed, longest, seen);
  compare<keep_ratio, Budget>(seed, longest, seen);
}

template <class... Budgets>
void compare_budgets(std::uint64_t first, int rounds, index_t longest, int same, int too_small) {
  const auto check = [&]<class Budget>(Budget) {
    tally seen;
    for (int i = 0; i < rounds; ++i)
      compare_levels<Budget>(first + static_cast<std::uint64_t>(i), longest, seen);
    CHECK(seen.same >= same);  // both outcomes must have been met often
    CHECK(seen.too_small >= too_small);
  };
  (check(Budgets{}), ...);
}

}  // namespace

TEST_CASE("selection equals sorting: counts and ratios over every scope") {
  compare_budgets<top_m<budget_scope::row>, top_m<budget_scope::head>, top_m<budget_scope::layer>,
                  keep_ratio_in<budget_scope::row>, keep_ratio_in<budget_scope::layer>,
                  keep_ratio_in<budget_scope::span>>(100, 100, 70, 100, 10);
}

TEST_CASE("selection equals sorting: floors and pyramids") {
  compare_budgets<head_adaptive, spared, pyramid>(1000, 250, 70, 300, 50);
}

TEST_CASE("selection equals sorting: shares of each layer and head") {
  compare_budgets<by_head, rows_by_head>(3000, 100, 70, 100, 0);
}

TEST_CASE("selection equals sorting: budgets under a cap keep their floors, layers and heads") {
  compare_budgets<at_most<head_adaptive>, at_most<spared>, at_most<pyramid>, at_most<by_head>>(
      4000, 100, 70, 100, 10);
  tally seen;
  for (std::uint64_t seed = 1; seed <= 100; ++seed)
    compare<keep_ratio, at_most<k_by_type<3>>>(seed, 70, seen);
  CHECK(seen.same > 50);
}

TEST_CASE("a budget under a cap selects what it selects alone at the capped ratio") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    random_source rng(seed);
    select_span span, alone;
    fill_span(rng, span, 3, 300);
    random_source again(seed);
    fill_span(again, alone, 3, 300);
    const double ratio = rng.uniform();
    const auto compare_with = [&](const status& capped, const status& expected) {
      CAPTURE(seed);
      REQUIRE(capped.code == expected.code);
      for (std::size_t l = 0; capped.ok() && l < 3; ++l)
        REQUIRE(span.layers[l].selected() == alone.layers[l].selected());
    };
    const auto check = [&]<class Budget>(Budget, const typename Budget::params& whole,
                                         const typename Budget::params& at_ratio) {
      compare_with(span.run<at_most<Budget>, keep_all>({whole, ratio}, {}, 2),
                   alone.run<Budget, keep_all>(at_ratio, {}, 2));
      // No cap at all: as without.
      compare_with(span.run<at_most<Budget>, keep_all>({whole, 1}, {}, 2),
                   alone.run<Budget, keep_all>(whole, {}, 2));
    };
    check(keep_ratio{}, {1}, {ratio});
    check(keep_ratio_in<budget_scope::span>{}, {1}, {ratio});
    check(head_adaptive{}, {1, 0, 0.3}, {ratio, 0, 0.3});
    // A pyramid whose mean the cap exceeds everywhere, and one that is capped everywhere.
    compare_with(span.run<at_most<pyramid>, keep_all>({{ratio / 2, 0, 0, 20}, ratio}, {}, 2),
                 alone.run<pyramid, keep_all>({ratio / 2, 0, 0, 20}, {}, 2));
    compare_with(span.run<at_most<pyramid>, keep_all>({{1, 0, 0, 20}, ratio}, {}, 2),
                 alone.run<keep_ratio, keep_all>({ratio}, {}, 2));
  }
}

TEST_CASE("selection equals sorting over many chunks, with floors") {
  compare_budgets<head_adaptive, spared>(2000, 6, 4000, 10, 0);
}

TEST_CASE("selection equals sorting: the softmax mass of each token") {
  tally seen;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    compare<keep_all, entropy_span>(seed, 70, seen);
    compare<keep_all, k_by_type<3>>(seed, 70, seen);
    compare<keep_ratio, k_by_type<3>>(seed, 70, seen);
    compare<global_top_m, entropy_span>(seed, 70, seen);
  }
  CHECK(seen.same > 600);
}

TEST_CASE("the scope says among what the best m are kept") {
  const auto count = [](auto budget, index_t m) {
    select_span span;
    for (int l = 0; l < 2; ++l) {
      auto& layer = span.layers.emplace_back(10, 2, 4);
      for (std::size_t i = 0; i < 20; ++i)  // the second layer and the second head score higher
        layer.token_scores[i] = static_cast<float>(i + 20 * static_cast<std::size_t>(l));
    }
    using level = decltype(budget);
    REQUIRE(span.run<level, keep_all>({m}, {}, 2).ok());
    std::vector<index_t> heads;
    for (const auto& l : span.layers)
      for (index_t h = 0; h < 2; ++h) heads.push_back(l.out.counts(h));
    return heads;
  };
  CHECK(count(top_m<budget_scope::head>{}, 3) == std::vector<index_t>{3, 3, 3, 3});
  CHECK(count(top_m<budget_scope::layer>{}, 13) == std::vector<index_t>{3, 10, 3, 10});
  CHECK(count(top_m<budget_scope::span>{}, 13) == std::vector<index_t>{0, 0, 3, 10});
  CHECK(count(global_top_m{}, 13) == std::vector<index_t>{0, 0, 3, 10});
}

TEST_CASE("a head that loses everywhere keeps its safeguard") {
  select_span span;
  auto& layer = span.layers.emplace_back(100, 2, 1);
  for (std::size_t i = 0; i < 100; ++i) {
    layer.token_scores[i] = static_cast<float>(i);
    layer.token_scores[100 + i] = static_cast<float>(1000 + i);
  }
  const auto counts = [&](double safeguard) {
    head_adaptive::params p;
    p.ratio = 0.4;
    p.safeguard = safeguard;
    REQUIRE(span.run<head_adaptive, keep_all>(p, {}, 2).ok());
    return std::vector<index_t>{layer.out.counts(0), layer.out.counts(1)};
  };
  CHECK(counts(0) == std::vector<index_t>{0, 80});
  CHECK(counts(0.2) == std::vector<index_t>{8, 72});
  CHECK(counts(0.001) == std::vector<index_t>{1, 79});
  CHECK(counts(1) == std::vector<index_t>{40, 40});
  layer.problem.protect = {2, 3};  // protected tokens are part of the safeguard
  CHECK(counts(0.2) == std::vector<index_t>{8, 72});
  CHECK(counts(0.05) == std::vector<index_t>{5, 75});
}

TEST_CASE("a pyramid gives each layer the count of its place") {
  select_span span;
  for (index_t l = 0; l < 4; ++l) span.layers.emplace_back(1000, 2, 4).problem.place = {l, 4};
  pyramid::params p;
  p.ratio = 0.25;
  p.window = 16;
  p.beta = 10;
  REQUIRE(span.run<pyramid, keep_all>(p, {}, 2).ok());
  // mean 250, least 25, most 475, a step of 150
  for (index_t l = 0; l < 4; ++l)
    for (index_t h = 0; h < 2; ++h)
      CHECK(span.layers[static_cast<std::size_t>(l)].out.counts(h) == 475 - 150 * l);
}

TEST_CASE("flat tokens keep more groups than peaked ones, whatever their level") {
  select_span span;
  auto& layer = span.layers.emplace_back(4, 1, 4);
  constexpr float inf = std::numeric_limits<float>::infinity();
  layer.group_scores = {0,   0,   0,  0,     // flat and low
                        109, 100, 99, 90,    // peaked and high
                        NAN, 1,   1,  -inf,  // half each; nothing for the others
                        inf, 5,   5,  inf};
  REQUIRE(span.run<keep_all, entropy_span>({}, {0.7}, 1).ok());
  CHECK(layer.selected()[0] == std::vector<reference::kept_token>{{0, 7}, {1, 1}, {2, 6}, {3, 9}});
  REQUIRE(span.run<keep_all, entropy_span>({}, {1}, 1).ok());
  CHECK(layer.selected()[0] ==
        std::vector<reference::kept_token>{{0, 15}, {1, 15}, {2, 14}, {3, 15}});
  REQUIRE(span.run<keep_all, entropy_span>({}, {0}, 1).ok());
  CHECK(layer.selected()[0] == std::vector<reference::kept_token>{{0, 0}, {1, 0}, {2, 0}, {3, 0}});
}

TEST_CASE("each type of token has a number of groups of its own") {
  select_span span;
  auto& layer = span.layers.emplace_back(4, 1, 4);
  layer.group_scores = {1, 2, 3, 4, 1, 2, 3, 4, 4, 3, 2, 1, 1, 2, 3, 4};
  layer.types = {2, 0, 1, 2};
  layer.problem.types = view<const std::uint8_t, 1>(layer.types.data(), 4);
  using by_type = k_by_type<3>;
  REQUIRE(span.run<keep_all, by_type>({}, {{1, 2, 3}}, 1).ok());
  CHECK(layer.selected()[0] ==
        std::vector<reference::kept_token>{{0, 0b1110}, {1, 0b1000}, {2, 0b0011}, {3, 0b1110}});
  layer.problem.protect.window = 1;
  REQUIRE(span.run<keep_all, by_type>({}, {{0, 9, 0}}, 1).ok());
  CHECK(layer.selected()[0] ==
        std::vector<reference::kept_token>{{0, 0}, {1, 0}, {2, 15}, {3, 15}});

  layer.reset();
  const auto refused = [&](const status& s, errc code, const char* argument) {
    CHECK(s == code);
    CHECK(std::string(s.argument) == argument);
    CHECK(layer.is_untouched());
  };
  refused(span.run<keep_all, by_type>({}, {{0, -1, 0}}, 1), errc::bad_count, "groups.budget");
  layer.types[3] = 3;
  refused(span.run<keep_all, by_type>({}, {{1, 1, 1}}, 1), errc::bad_parameter, "types");
  layer.problem.types.extent[0] = 3;
  refused(span.run<keep_all, by_type>({}, {{1, 1, 1}}, 1), errc::bad_shape, "types");
  layer.problem.types = {};
  REQUIRE(span.run<keep_all, by_type>({}, {{1, 2, 3}}, 1).ok());
  CHECK(layer.selected()[0].front() == reference::kept_token{0, 0b1000});  // all are of type 0
}

TEST_CASE("the new budgets refuse their parameters and say when they cannot hold what they must") {
  select_span span;
  span.layers.emplace_back(40, 2, 4).problem.protect = {2, 3};
  const auto refused = [&]<class Budget>(Budget, auto p, errc code, const char* argument) {
    const status s = span.run<Budget, keep_all>(p, {}, 1);
    CHECK(s.code == code);
    CHECK(std::string(s.argument) == argument);
    CHECK(span.layers[0].is_untouched());
  };
  const char* const budget = "tokens.budget";
  refused(head_adaptive{}, head_adaptive::params{NAN, 0, 0.2}, errc::bad_ratio, budget);
  refused(head_adaptive{}, head_adaptive::params{0.5, 0, 1.1}, errc::bad_ratio, budget);
  refused(head_adaptive{}, head_adaptive::params{0.5, 0, NAN}, errc::bad_ratio, budget);
  refused(head_adaptive{}, head_adaptive::params{0.5, -1, 0.2}, errc::bad_count, budget);
  refused(head_adaptive{}, head_adaptive::params{0.5, 9, 0.2}, errc::budget_too_small, "tokens");
  refused(pyramid{}, pyramid::params{NAN, 0, 5, 20}, errc::bad_ratio, budget);
  refused(pyramid{}, pyramid::params{0.5, 0, 5, 0.99}, errc::bad_parameter, budget);
  refused(pyramid{}, pyramid::params{0.5, 0, 5, NAN}, errc::bad_parameter, budget);
  refused(pyramid{}, pyramid::params{0.5, -1, 5, 20}, errc::bad_count, budget);
  refused(pyramid{}, pyramid::params{0.5, 0, -1, 20}, errc::bad_count, budget);
  refused(pyramid{}, pyramid::params{0.5, 4, 0, 1}, errc::budget_too_small, "tokens");
  refused(spared{}, spared::params{0.5, -1}, errc::bad_count, "tokens");
  refused(spared{}, spared::params{0.5, 21}, errc::budget_too_small, "tokens");  // 42 of 40
  using top = top_m<budget_scope::layer>;
  refused(top{}, top::params{9}, errc::budget_too_small, "tokens");
  using ratio = keep_ratio_in<budget_scope::span>;
  refused(ratio{}, ratio::params{NAN}, errc::bad_ratio, budget);
  for (const layer_place place : {layer_place{-1, 2}, layer_place{2, 2}, layer_place{0, 0}}) {
    span.layers[0].problem.place = place;
    span.layers[0].reset();
    const cpu::backend b;
    const aligned_memory ws(1 << 16);
    const status s =
        cpu::select<pyramid, keep_all>(b, span.layers[0].problem, {}, {}, span.layers[0].scores,
                                       span.layers[0].out, ws.workspace());
    CHECK(s == errc::bad_count);
    CHECK(std::string(s.argument) == "place");
  }
  span.layers[0].problem.place = {};
  for (const double bad : {-0.1, 1.1, std::nan("")}) {
    const status s = span.run<keep_all, entropy_span>({}, {bad}, 1);
    CHECK(s == errc::bad_ratio);
    CHECK(std::string(s.argument) == "groups.budget");
  }
}

#include <doctest/doctest.h>

#include "support/select_compare.hpp"

using namespace rota;
using namespace rota_test;

namespace {

template <class Tokens>
void compare_with_all_groups(std::uint64_t seed, index_t longest, tally& seen) {
  compare<Tokens, keep_all>(seed, longest, seen);
  compare<Tokens, keep_ratio>(seed, longest, seen);
  compare<Tokens, fixed_k>(seed, longest, seen);
  compare<Tokens, global_top_m>(seed, longest, seen);
  compare<Tokens, adaptive_span>(seed, longest, seen);
  compare<Tokens, one_in>(seed, longest, seen);
}

void compare_all_pairs(std::uint64_t seed, index_t longest, tally& seen) {
  compare_with_all_groups<keep_all>(seed, longest, seen);
  compare_with_all_groups<keep_ratio>(seed, longest, seen);
  compare_with_all_groups<fixed_k>(seed, longest, seen);
  compare_with_all_groups<global_top_m>(seed, longest, seen);
  compare_with_all_groups<adaptive_span>(seed, longest, seen);
  compare_with_all_groups<one_in>(seed, longest, seen);
}

}  // namespace

TEST_CASE("selection equals sorting, bit for bit: every pair of budgets") {
  tally seen;
  for (std::uint64_t seed = 1; seed <= 150; ++seed) compare_all_pairs(seed, 70, seen);
  CHECK(seen.same > 1000);  // both outcomes must have been met often
  CHECK(seen.too_small > 200);
}

TEST_CASE("selection equals sorting over many chunks") {
  tally seen;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) compare_all_pairs(9000 + seed, 4000, seen);
  CHECK(seen.same > 10);
}

TEST_CASE("the same selection for any number of threads") {
  random_source rng(3);
  select_span span;
  auto& layer = span.layers.emplace_back(5000, 2, 4);
  for (float& x : layer.token_scores) x = static_cast<float>(rng.below(3));
  for (float& x : layer.group_scores) x = static_cast<float>(rng.below(3));
  layer.problem.protect = {4, 16};
  using token_level = global_top_m;
  using group_level = global_top_m;
  REQUIRE(span.run<token_level, group_level>({6000}, {9000}, 1).ok());
  const auto one = layer.selected();
  for (int threads : {2, 3, 5}) {
    REQUIRE(span.run<token_level, group_level>({6000}, {9000}, threads).ok());
    CHECK(layer.selected() == one);
  }
  index_t kept = 0, groups_kept = 0;
  for (index_t h = 0; h < 2; ++h) {
    const head_counts c = count_head(layer.out, h);
    kept += c.tokens;
    groups_kept += c.groups;
  }
  CHECK(kept == 6000);
  CHECK(groups_kept == 9000);
}

TEST_CASE("ties go to the smaller layer, head, token, group; -0 is 0 and NaN is last") {
  select_span span;
  for (int l = 0; l < 2; ++l) {
    auto& m = span.layers.emplace_back(3, 2, 2);
    std::fill(m.token_scores.begin(), m.token_scores.end(), 1.0f);
    m.group_scores = {0.0f, -0.0f, -0.0f, 0.0f, NAN,  -std::numeric_limits<float>::infinity(),
                      0.0f, 0.0f,  0.0f,  0.0f, 0.0f, 0.0f};
  }
  REQUIRE(span.run<global_top_m, keep_all>({7}, {}, 2).ok());
  CHECK(span.layers[0].selected() ==
        reference::layer_selection{{{0, 3}, {1, 3}, {2, 3}}, {{0, 3}, {1, 3}, {2, 3}}});
  CHECK(span.layers[1].selected() == reference::layer_selection{{{0, 3}}, {}});
  REQUIRE(span.run<keep_all, fixed_k>({}, {1}, 2).ok());
  CHECK(span.layers[0].selected()[0] ==
        std::vector<reference::kept_token>{{0, 1}, {1, 1}, {2, 2}});  // -inf is above NaN
  REQUIRE(span.run<keep_all, global_top_m>({}, {3}, 2).ok());
  CHECK(span.layers[0].selected()[0] == std::vector<reference::kept_token>{{0, 3}, {1, 1}, {2, 0}});
}

TEST_CASE("survivors with an empty mask stay, or go when asked") {
  select_span span;
  auto& m = span.layers.emplace_back(4, 1, 2);
  m.group_scores = {0, 0, 5, 5, 0, 0, 0, 0};
  m.problem.protect = {0, 1};
  REQUIRE(span.run<keep_all, adaptive_span>({}, {1.0f}, 1).ok());
  CHECK(m.selected()[0] == std::vector<reference::kept_token>{{0, 0}, {1, 3}, {2, 0}, {3, 3}});
  m.problem.drop_empty = true;
  REQUIRE(span.run<keep_all, adaptive_span>({}, {1.0f}, 1).ok());
  CHECK(m.selected()[0] == std::vector<reference::kept_token>{{1, 3}, {3, 3}});
}

TEST_CASE("one problem may stand for all layers; no layers are no error") {
  select_span span;
  for (int l = 0; l < 3; ++l) {
    auto& m = span.layers.emplace_back(5, 2, 2);
    m.token_scores = {1, 2, 3, 4, 5, 5, 4, 3, 2, 1};
  }
  using op = keep_ratio;
  const cpu::backend b;
  const auto scores = span.scores();
  const auto out = span.outputs();
  const std::span<const select_problem> shared(&span.layers[0].problem, 1);
  const aligned_memory ws(cpu::select_workspace_bytes<op, keep_all>(b, shared, 3));
  REQUIRE(cpu::select<op, keep_all>(b, shared, {0.4}, {}, scores, out, ws.workspace()).ok());
  for (const auto& l : span.layers)
    CHECK(l.selected() == reference::layer_selection{{{3, 3}, {4, 3}}, {{0, 3}, {1, 3}}});
  CHECK(cpu::select<op, keep_all>(b, shared, {0.4}, {}, {}, {}, ws.workspace()).ok());
}

#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include <rota/budget/keep_ratio.hpp>
#include <rota/policy/context.hpp>
#include <rota/score/attention_mass.hpp>
#include <rota/score/expected_attention.hpp>
#include <rota/score/key_diff.hpp>
#include <rota/score/key_norm.hpp>
#include <rota/score/reads.hpp>
#include <rota/score/value_norm.hpp>
#include <rota/score/window_sink.hpp>
#include <rota/select/selectors.hpp>

#include "support/policies.hpp"

using namespace rota;
using namespace rota_test;

// Which policy is what.
static_assert(pointwise_token_scorer<key_norm> && !reduced_token_scorer<key_norm>);
static_assert(pointwise_token_scorer<window_sink> && token_scorer<window_sink>);
static_assert(whole_head_scorer<expected_attention> && token_scorer<expected_attention>);
static_assert(!group_scorer<expected_attention>);
static_assert(pointwise_group_scorer<value_norm> && !token_scorer<value_norm>);
static_assert(whole_head_scorer<attention_mass> && group_scorer<attention_mass>);
static_assert(reduced_token_scorer<key_diff> && !pointwise_token_scorer<key_diff>);
static_assert(budget<one_in> && !token_scorer<one_in>);
static_assert(policy_of<tokens<key_diff, one_in>, token_selector_tag>);
static_assert(policy_of<groups<slice_peak, keep_ratio>, group_selector_tag>);
static_assert(tokens<key_norm, keep_ratio>::selects && !all_tokens::selects);

// What a context must carry.
static_assert(provides<context<bf16>, key_norm>);
static_assert(!provides<context<bf16>, attention_mass>);
static_assert(provides<context<bf16, window_queries>, attention_mass>);
static_assert(!provides<context<f32, query_moments>, expected_attention>);
static_assert(provides<context<f32, rope_frequencies, query_moments>, expected_attention>);

// What a scorer reads, unless it says otherwise.
static_assert(reads_keys<weighted_norms>() && reads_values<weighted_norms>());
static_assert(reads_keys<key_norm>() && !reads_values<key_norm>());
static_assert(!reads_keys<value_norm>());

TEST_CASE("a context counts positions when none are given") {
  context<f32> c;
  CHECK(c.position(7) == 7);
  const position_t at[] = {3, 8};
  c.positions = view<const position_t, 1>(at, 2);
  CHECK(c.position(1) == 8);
}

TEST_CASE("window_sink prefers the newer, at any length") {
  token_ref t;
  t.tokens = 1000;
  float last = -1e9f;
  for (t.index = 0; t.index < t.tokens; ++t.index) {
    const float s = window_sink::score({}, t);
    CHECK(s > last);
    last = s;
  }
  CHECK(last == 0);
}

TEST_CASE("norms of rows of any length") {
  std::vector<float> x(50, 2.0f);
  for (int n = 0; n <= 50; ++n)
    CHECK(row_norm(x.data(), n) == doctest::Approx(2 * std::sqrt(static_cast<double>(n))));
}

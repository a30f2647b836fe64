#pragma once

#include <algorithm>
#include <cmath>

#include <rota/policy/concepts.hpp>

// Policies as a user of the library would write them, one of each form.

namespace rota_test {

/// Pointwise token scorer with a parameter, that reads everything a token offers.
struct weighted_norms {
  using policy_kind = rota::token_scorer_tag;
  struct params {
    float weight = 0.5f;
  };
  static float score(const params& p, const rota::token_ref& t) {
    float keys = 0, values = 0;
    for (int i = 0; i < t.d_k; ++i) keys += std::abs(t.key[i]);
    for (int i = 0; i < t.d_v; ++i) values += std::abs(t.value[i]);
    return keys + p.weight * values + static_cast<float>(t.position) +
           100.0f * static_cast<float>(t.kv_head) +
           static_cast<float>(t.index) / static_cast<float>(t.tokens);
  }
};

/// Group scorer: the largest value of the slice.
struct slice_peak {
  using policy_kind = rota::group_scorer_tag;
  struct params {};
  static float score(const params&, const rota::group_ref& g) {
    float top = 0;
    for (int i = 0; i < g.width; ++i) top = std::max(top, std::abs(g.slice[i]));
    return top + static_cast<float>(g.group) + static_cast<float>(g.token.index) * 0.25f;
  }
};

/// Budget over a layer: keeps one item in `every`.
struct one_in {
  using policy_kind = rota::budget_tag;
  struct params {
    rota::index_t every = 2;
  };
  static constexpr rota::budget_scope scope = rota::budget_scope::layer;
  static rota::status check(const params& p) {
    if (p.every < 1) return {rota::errc::bad_parameter, "every"};
    return {};
  }
  static rota::index_t count(const params& p, rota::index_t items) {
    return (items + p.every - 1) / p.every;
  }
};

/// Budget over the whole span that keeps some items of every head first.
struct spared {
  using policy_kind = rota::budget_tag;
  struct params {
    double ratio = 0.5;
    rota::index_t floor = 1;
  };
  static constexpr rota::budget_scope scope = rota::budget_scope::span;
  static rota::status check(const params&) { return {}; }
  static rota::index_t count(const params& p, rota::index_t items) {
    return static_cast<rota::index_t>(p.ratio * static_cast<double>(items));
  }
  static rota::index_t floor(const params& p, rota::index_t, rota::index_t) { return p.floor; }
};

/// Budget with a share of its own for every layer and kv head.
struct by_head {
  using policy_kind = rota::budget_tag;
  struct params {
    double least = 0.25;
  };
  static constexpr rota::budget_scope scope = rota::budget_scope::head;
  ROTA_HD static rota::status check(const params&) { return {}; }
  ROTA_HD static rota::index_t count(const params& p, rota::index_t items,
                                     const rota::budget_place& at) {
    const double part = static_cast<double>(at.layer * at.heads + at.head + 1) /
                        static_cast<double>(at.layers * at.heads);
    return static_cast<rota::index_t>((p.least + (1 - p.least) * part) *
                                      static_cast<double>(items));
  }
};

/// The same of each token's groups.
struct rows_by_head : by_head {
  static constexpr rota::budget_scope scope = rota::budget_scope::row;
};

static_assert(rota::counting_budget<by_head> && rota::counting_budget<rows_by_head>);
static_assert(rota::pointwise_token_scorer<weighted_norms>);
static_assert(rota::pointwise_group_scorer<slice_peak>);
static_assert(rota::counting_budget<one_in> && !rota::floored_budget<one_in>);
static_assert(rota::floored_budget<spared>);

}  // namespace rota_test

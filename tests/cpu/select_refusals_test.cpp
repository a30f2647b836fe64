#include <string>

#include <doctest/doctest.h>

#include <rota/budget/adaptive_span.hpp>
#include <rota/budget/fixed_k.hpp>
#include <rota/budget/global_top_m.hpp>
#include <rota/budget/keep_ratio.hpp>
#include <rota/score/key_norm.hpp>
#include <rota/score/value_norm.hpp>

#include "support/selecting.hpp"

// Bad input to selection: a status that names the argument, nothing written.

using namespace rota;
using namespace rota_test;

namespace {

constexpr index_t n = 40, kv_heads = 2;
constexpr int S = 4;

struct good_call {
  select_span span;
  std::vector<select_problem> problems;
  std::vector<layer_scores> scores;
  std::vector<selection> out;
  keep_ratio::params tokens{0.5};
  keep_ratio::params groups{0.5};

  good_call() {
    for (int l = 0; l < 2; ++l) span.layers.emplace_back(n, kv_heads, S).problem.protect = {2, 3};
    problems = span.problems();
    scores = span.scores();
    out = span.outputs();
  }
  bool untouched() const { return span.layers[0].is_untouched() && span.layers[1].is_untouched(); }
};

struct refusal {
  const char* argument;
  errc code;
  void (*spoil)(good_call&);
};

// clang-format off
const refusal table[] = {
    {"tokens.budget", errc::bad_ratio, [](good_call& g) { g.tokens.ratio = -0.1; }},
    {"tokens.budget", errc::bad_ratio, [](good_call& g) { g.tokens.ratio = 1.0001; }},
    {"groups.budget", errc::bad_ratio, [](good_call& g) { g.groups.ratio = NAN; }},
    {"tokens", errc::budget_too_small, [](good_call& g) { g.tokens.ratio = 0.05; }},
    {"groups", errc::budget_too_small, [](good_call& g) { g.groups.ratio = 0.05; }},
    {"out", errc::bad_shape, [](good_call& g) { g.out.pop_back(); }},
    {"problems", errc::bad_shape, [](good_call& g) { g.problems.push_back(g.problems[0]); }},
    {"problems", errc::bad_shape, [](good_call& g) { g.problems.clear(); }},
    {"tokens", errc::bad_shape, [](good_call& g) { g.problems[1].tokens = -1; }},
    {"kv_heads", errc::bad_shape, [](good_call& g) { g.problems[1].kv_heads = 0; }},
    {"groups", errc::bad_shape, [](good_call& g) { g.problems[0].groups = 0; }},
    {"groups", errc::bad_shape, [](good_call& g) { g.problems[0].groups = 17; }},
    {"sinks", errc::bad_count, [](good_call& g) { g.problems[0].protect.sinks = -1; }},
    {"window", errc::bad_count, [](good_call& g) { g.problems[1].protect.window = -1; }},
    {"available", errc::bad_shape, [](good_call& g) {
       g.problems[1].available = view<const group_mask, 2>(g.span.layers[0].available.data(), kv_heads, n - 1); }},
    {"scores.tokens", errc::null_view, [](good_call& g) { g.scores[1].tokens.data = nullptr; }},
    {"scores.tokens", errc::bad_shape, [](good_call& g) { g.scores[1].tokens.extent[1] = n - 1; }},
    {"scores.tokens", errc::bad_stride, [](good_call& g) { g.scores[1].tokens.stride[1] = 2; }},
    {"scores.groups", errc::null_view, [](good_call& g) { g.scores[0].groups.data = nullptr; }},
    {"scores.groups", errc::bad_shape, [](good_call& g) { g.scores[0].groups.extent[2] = S - 1; }},
    {"selection.indices", errc::null_view, [](good_call& g) { g.out[1].indices.data = nullptr; }},
    {"selection.indices", errc::bad_shape, [](good_call& g) { g.out[1].indices.extent[1] = n - 1; }},
    {"selection.masks", errc::bad_shape, [](good_call& g) { g.out[1].masks.extent[0] = 1; }},
    {"selection.counts", errc::bad_shape, [](good_call& g) { g.out[1].counts.extent[0] = 1; }},
    {"selection.masks", errc::bad_stride, [](good_call& g) { g.out[1].masks.stride[0] = 1; }},
    {"selection", errc::overlapping_memory, [](good_call& g) {
       g.out[1].counts.data = g.out[1].indices.data + 3; }},
    {"selection", errc::overlapping_memory, [](good_call& g) {
       g.out[1].counts.data = g.out[0].indices.data + 3; }},
    {"selection", errc::overlapping_memory, [](good_call& g) {
       g.scores[0].tokens.data = reinterpret_cast<float*>(g.out[1].indices.data); }},
};
// clang-format on

template <class Tokens, class Groups>
status run(good_call& g, const typename Tokens::params& tp, const typename Groups::params& gp) {
  const cpu::backend b;
  const aligned_memory ws(1 << 18);
  return cpu::select<Tokens, Groups>(b, g.problems, tp, gp, g.scores, g.out, ws.workspace());
}

}  // namespace

TEST_CASE("bad input to selection is refused by name and nothing is written") {
  for (const refusal& r : table) {
    good_call g;
    r.spoil(g);
    const status s = run<keep_ratio, keep_ratio>(g, g.tokens, g.groups);
    CAPTURE(r.argument);
    CHECK(s.code == r.code);
    CHECK(std::string(s.argument) == r.argument);
    CHECK(g.untouched());
  }
  good_call g;
  CHECK(run<keep_ratio, keep_ratio>(g, g.tokens, g.groups).ok());
}

TEST_CASE("the other budgets refuse their parameters and say when the protected do not fit") {
  good_call g;
  const auto check = [&](const status& s, errc code, const char* argument) {
    CHECK(s.code == code);
    CHECK(std::string(s.argument) == argument);
    CHECK(g.untouched());
  };
  using top = global_top_m;
  using best = fixed_k;
  using span = adaptive_span;
  check(run<top, keep_all>(g, {-1}, {}), errc::bad_count, "tokens.budget");
  check(run<best, keep_all>(g, {-1}, {}), errc::bad_count, "tokens.budget");
  check(run<span, keep_all>(g, {NAN}, {}), errc::bad_parameter, "tokens.budget");
  check(run<top, keep_all>(g, {2 * 2 * 5 - 1}, {}), errc::budget_too_small, "tokens");
  check(run<best, keep_all>(g, {4}, {}), errc::budget_too_small, "tokens");
  check(run<keep_all, global_top_m>(g, {}, {2 * 2 * 5 * S - 1}), errc::budget_too_small, "groups");
  // At row scope protected tokens keep their groups besides.
  CHECK(run<keep_all, fixed_k>(g, {}, {0}).ok());
  CHECK(run<top, keep_all>(g, {2 * 2 * 5}, {}).ok());
}

TEST_CASE("budgets chosen at run time select as those that are types, and carry what is wrong") {
  good_call typed, erased;
  REQUIRE(run<keep_ratio, fixed_k>(typed, {0.6}, {2}).ok());
  const cpu::backend b;
  const aligned_memory ws(cpu::select_workspace_bytes(b, erased.problems, 2, true));
  const auto select = [&](const cpu::budget_rule& tokens, const cpu::budget_rule& groups) {
    return cpu::select(b, erased.problems, tokens, groups, erased.scores, erased.out,
                       ws.workspace());
  };
  const keep_ratio::params ratio{0.6}, bad{1.5};
  const fixed_k::params k{2};
  const status s = select({}, cpu::rule_of<keep_ratio>(bad));
  CHECK(s == errc::bad_ratio);
  CHECK(std::string(s.argument) == "groups.budget");
  CHECK(erased.untouched());
  REQUIRE(select(cpu::rule_of<keep_ratio>(ratio), cpu::rule_of<fixed_k>(k)).ok());
  for (std::size_t l = 0; l < 2; ++l)
    CHECK(erased.span.layers[l].selected() == typed.span.layers[l].selected());
}

TEST_CASE("a level that does not select needs no scores") {
  good_call g;
  for (layer_scores& s : g.scores) s = {};
  CHECK(run<keep_all, keep_all>(g, {}, {}).ok());
  for (const auto& l : g.span.layers)
    for (index_t h = 0; h < kv_heads; ++h)
      CHECK((count_head(l.out, h).tokens == n && count_head(l.out, h).groups == n * S));
}

TEST_CASE("selection's workspace must be large enough, aligned and apart") {
  good_call g;
  const cpu::backend b;
  const auto select = [&](workspace ws) {
    return cpu::select<keep_ratio, keep_ratio>(b, g.problems, g.tokens, g.groups, g.scores, g.out,
                                               ws);
  };
  const std::size_t need = cpu::select_workspace_bytes<keep_ratio, keep_ratio>(b, g.problems, 2);
  const aligned_memory memory(need + 64);
  for (const workspace ws : {workspace{memory.data(), need - 1}, workspace{memory.data() + 8, need},
                             workspace{nullptr, need}, workspace{}}) {
    const status s = select(ws);
    CHECK(s.code == errc::workspace_too_small);
    CHECK(g.untouched());
  }
  // Scores that lie in the workspace.
  g.scores[0].tokens.data = reinterpret_cast<float*>(memory.data());
  CHECK(select({memory.data(), need}).code == errc::overlapping_memory);
  CHECK(g.untouched());
  g.problems[0].tokens = -1;
  CHECK(cpu::select_workspace_bytes<keep_ratio, keep_ratio>(b, g.problems, 2) == 0);
}

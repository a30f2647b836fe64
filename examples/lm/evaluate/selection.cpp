#include "evaluate/selection.hpp"

#include <cmath>
#include <iterator>
#include <optional>
#include <variant>

#include <rota/budget/adaptive_span.hpp>
#include <rota/budget/fixed_k.hpp>
#include <rota/budget/global_top_m.hpp>
#include <rota/budget/head_adaptive.hpp>
#include <rota/budget/keep_ratio.hpp>
#include <rota/budget/pyramid.hpp>
#include <rota/cpu/select.hpp>

#include "evaluate/level.hpp"

namespace rota_lm::eval {
namespace {

template <class Budget>
struct chosen {
  typename Budget::params params;
};
using chosen_budget =
    std::variant<chosen<rota::keep_ratio>, chosen<rota::fixed_k>, chosen<rota::global_top_m>,
                 chosen<rota::adaptive_span>, chosen<rota::head_adaptive>, chosen<rota::pyramid>>;

/// A budget that keeps about `fraction` of a level's items.
chosen_budget budget_at(budget which, double fraction, const level& items) {
  switch (which) {
    case budget::fixed_k:
      return chosen<rota::fixed_k>{{.k = std::llround(fraction * items.row())}};
    case budget::global_top_m:
      return chosen<rota::global_top_m>{{.m = std::llround(fraction * items.all())}};
    case budget::adaptive_span:
      return chosen<rota::adaptive_span>{{.tau = items.threshold(fraction * items.all())}};
    case budget::head_adaptive:
      return chosen<rota::head_adaptive>{{.ratio = fraction}};
    case budget::pyramid:
      return chosen<rota::pyramid>{{.ratio = fraction, .window = items.guarded()}};
    default:
      return chosen<rota::keep_ratio>{{.ratio = fraction}};
  }
}

/// Refers to `b`. Keeps everything without one.
rota::cpu::budget_rule rule_of(const std::optional<chosen_budget>& b) {
  if (!b) return {};
  return std::visit(
      []<class Budget>(const chosen<Budget>& c) { return rota::cpu::rule_of<Budget>(c.params); },
      *b);
}

rota::status run(const std::optional<chosen_budget>& tokens,
                 const std::optional<chosen_budget>& groups, const layer_span& span,
                 const rota::cpu::backend& backend, scratch_memory& scratch) {
  const rota::workspace ws = scratch.at_least(rota::cpu::select_workspace_bytes(
      backend, span.problems, std::ssize(span.problems), groups.has_value()));
  return rota::cpu::select(backend, span.problems, rule_of(tokens), rule_of(groups), span.scores,
                           span.kept, ws);
}

}  // namespace

rota::status select(const method& m, const fractions& f, const layer_span& span,
                    const rota::cpu::backend& backend, scratch_memory& scratch) {
  std::optional<chosen_budget> tokens, groups;
  if (m.tokens) {
    tokens = budget_at(m.tokens->rule, f.tokens, token_level(span.problems, span.scores));
  }
  if (!m.groups) return run(tokens, groups, span, backend, scratch);
  // What these budgets count depends on who survives, so that is asked first.
  const bool needs_survivors =
      m.groups->rule == budget::global_top_m || m.groups->rule == budget::adaptive_span;
  if (needs_survivors) {
    if (rota::status s = run(tokens, groups, span, backend, scratch); !s.ok()) return s;
  }
  groups = budget_at(m.groups->rule, f.groups, group_level(span.problems, span.scores, span.kept));
  return run(tokens, groups, span, backend, scratch);
}

}  // namespace rota_lm::eval

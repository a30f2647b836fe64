#pragma once

#include <span>

#include <rota/cpu/select/calibrate.hpp>
#include <rota/cpu/select/check.hpp>
#include <rota/cpu/select/compact.hpp>

namespace rota::cpu {

namespace detail {

/// Checks all arguments and fills the map of layers. The outputs are still untouched.
inline status prepare_select(std::span<const select_problem> problems, const budget_rule& tokens,
                             const budget_rule& groups, std::span<const layer_scores> layers,
                             std::span<const selection> out, const workspace& ws,
                             select_memory& m) {
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const select_problem& p = problems[problems.size() == 1 ? 0 : l];
    if (status s = check_layer(p, tokens, groups, layers[l], out[l]); !s) return s;
    if (memory_overlaps(layers[l], p, out[l], {ws.data, ws.bytes}))
      return {errc::overlapping_memory, "ws"};
  }
  for (std::size_t l = 0; l < layers.size(); ++l) {
    m.map.add(static_cast<index_t>(l), problems[problems.size() == 1 ? 0 : l]);
    m.map.layers[l].scores = layers[l];
    m.map.layers[l].out = out[l];
    for (std::size_t o = 0; o < layers.size(); ++o)
      if (writes_meet(out[l], layers[o], problems[problems.size() == 1 ? 0 : o], out[o], l == o))
        return {errc::overlapping_memory, "selection"};
  }
  return {};
}

}  // namespace detail

inline namespace ROTA_CPU_ISA {

/// Bytes that select() needs for that many layers, whether it selects groups or not. 0 when the
/// problems are not valid.
inline std::size_t select_workspace_bytes(const backend& b,
                                          std::span<const select_problem> problems, index_t layers,
                                          bool groups) {
  if (layers < 0 || !detail::check_problems(problems, static_cast<std::size_t>(layers))) return 0;
  carver count;
  detail::select_memory::carve(count, b, problems, layers, groups);
  return count.bytes();
}

template <level_budget Tokens, level_budget Groups>
std::size_t select_workspace_bytes(const backend& b, std::span<const select_problem> problems,
                                   index_t layers) {
  return select_workspace_bytes(b, problems, layers, selects_by<Groups>);
}

template <level_budget Tokens, level_budget Groups>
std::size_t select_workspace_bytes(const backend& b, const select_problem& problem) {
  return select_workspace_bytes<Tokens, Groups>(b, {&problem, 1}, 1);
}

/// Selects tokens, and groups inside the survivors, over one layer or a span of layers of one
/// sequence, by the selection contract (docs/policies.md).
///
/// `problems` holds one problem for each layer, or one that all layers share; layers may differ in
/// length. Each level has a budget, whatever made its scores; a level that keeps everything
/// (keep_all, a default budget_rule) reads none. Scores are compared by score_key(): -0 equals +0,
/// NaN is below -infinity. Ties go to the smaller layer, head, token, group.
///
/// Counting budgets rank the items of a row, head, layer or the whole span (budget_scope) and are
/// given the number of items there: tokens, or the available groups of the survivors. Protected
/// items are part of the count and always kept; a count below them is budget_too_small, a count
/// above all items keeps all. At row scope a token keeps the best min(k, available) groups and
/// protected tokens keep all of theirs besides. Threshold budgets keep what reaches the threshold.
///
/// The result depends on scores, problems and parameters alone: not on threads. No allocation.
/// Errors leave `out` untouched: what the budgets' check() says, bad_shape, null_view, bad_stride,
/// bad_count, budget_too_small ("tokens" or "groups"), overlapping_memory (outputs may not
/// interleave with other memory of the call), workspace_too_small.
inline status select(const backend& b, std::span<const select_problem> problems,
                     const budget_rule& tokens, const budget_rule& groups,
                     std::span<const layer_scores> layers, std::span<const selection> out,
                     workspace ws) {
  if (status s = check_backend(b); !s) return s;
  if (tokens.fault != errc::ok) return {tokens.fault, "tokens.budget"};
  if (groups.fault != errc::ok) return {groups.fault, "groups.budget"};
  if (out.size() != layers.size()) return {errc::bad_shape, "out"};
  if (status s = detail::check_problems(problems, layers.size()); !s) return s;

  carver from(ws);
  detail::select_memory m = detail::select_memory::carve(
      from, b, problems, static_cast<index_t>(layers.size()), groups.selects());
  if (status s = from.check(); !s) return s;
  if (status s = detail::prepare_select(problems, tokens, groups, layers, out, ws, m); !s) return s;
  if (status s = select_detail::select_tokens(b, m, tokens); !s) return s;
  if (status s = select_detail::select_groups(b, m, groups); !s) return s;
  select_detail::write_selection(b, m, groups);
  return {};
}

/// The same by budgets that are known when it is compiled.
template <level_budget Tokens, level_budget Groups>
status select(const backend& b, std::span<const select_problem> problems,
              const typename Tokens::params& tokens, const typename Groups::params& groups,
              std::span<const layer_scores> layers, std::span<const selection> out, workspace ws) {
  return select(b, problems, rule_of<Tokens>(tokens), rule_of<Groups>(groups), layers, out, ws);
}

/// The same for a single layer.
template <level_budget Tokens, level_budget Groups>
status select(const backend& b, const select_problem& problem,
              const typename Tokens::params& tokens, const typename Groups::params& groups,
              const layer_scores& scores, const selection& out, workspace ws) {
  return select<Tokens, Groups>(b, std::span<const select_problem>(&problem, 1), tokens, groups,
                                std::span<const layer_scores>(&scores, 1),
                                std::span<const selection>(&out, 1), ws);
}

}  // namespace ROTA_CPU_ISA
}  // namespace rota::cpu

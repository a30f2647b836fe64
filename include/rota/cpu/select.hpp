#pragma once

#include <span>

#include <rota/cpu/select/calibrate.hpp>
#include <rota/cpu/select/check.hpp>
#include <rota/cpu/select/compact.hpp>
#include <rota/select/selectors.hpp>

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

/// Bytes that select() needs for that many layers. 0 when the problems are not valid.
template <class Tokens, class Groups>
std::size_t select_workspace_bytes(const backend& b, std::span<const select_problem> problems,
                                   index_t layers) {
  if (layers < 0 || !detail::check_problems(problems, static_cast<std::size_t>(layers))) return 0;
  carver count;
  detail::select_memory::carve(count, b, problems, layers, Groups::selects);
  return count.bytes();
}

template <class Tokens, class Groups>
std::size_t select_workspace_bytes(const backend& b, const select_problem& problem) {
  return select_workspace_bytes<Tokens, Groups>(b, {&problem, 1}, 1);
}

/// Selects tokens, and groups inside the survivors, over one layer or a span of layers of one
/// sequence, by the selection contract (docs/policies.md).
///
/// `problems` holds one problem for each layer, or one that all layers share; layers may differ in
/// length. `Tokens` is rota::tokens<...> or all_tokens, `Groups` is rota::groups<...> or
/// all_groups; a level that does not select reads no scores. Scores are compared by score_key():
/// -0 equals +0, NaN is below -infinity. Ties go to the smaller layer, head, token, group.
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
template <class Tokens, class Groups>
status select(const backend& b, std::span<const select_problem> problems,
              const typename Tokens::params& token_params,
              const typename Groups::params& group_params, std::span<const layer_scores> layers,
              std::span<const selection> out, workspace ws) {
  if (status s = check_backend(b); !s) return s;
  detail::budget_rule tokens, groups;
  if (status s = detail::make_rule<Tokens>(token_params, "tokens.budget", tokens); !s) return s;
  if (status s = detail::make_rule<Groups>(group_params, "groups.budget", groups); !s) return s;
  if (out.size() != layers.size()) return {errc::bad_shape, "out"};
  if (status s = detail::check_problems(problems, layers.size()); !s) return s;

  carver from(ws);
  detail::select_memory m = detail::select_memory::carve(
      from, b, problems, static_cast<index_t>(layers.size()), Groups::selects);
  if (status s = from.check(); !s) return s;
  if (status s = detail::prepare_select(problems, tokens, groups, layers, out, ws, m); !s) return s;
  if (status s = select_detail::select_tokens(b, m, tokens); !s) return s;
  if (status s = select_detail::select_groups(b, m, groups); !s) return s;
  select_detail::write_selection(b, m, groups);
  return {};
}

/// The same for a single layer.
template <class Tokens, class Groups>
status select(const backend& b, const select_problem& problem,
              const typename Tokens::params& token_params,
              const typename Groups::params& group_params, const layer_scores& scores,
              const selection& out, workspace ws) {
  return select<Tokens, Groups>(b, std::span<const select_problem>(&problem, 1), token_params,
                                group_params, std::span<const layer_scores>(&scores, 1),
                                std::span<const selection>(&out, 1), ws);
}

}  // namespace ROTA_CPU_ISA
}  // namespace rota::cpu

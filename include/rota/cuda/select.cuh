#pragma once

#include <span>

#include <rota/cuda/select/stages.cuh>

namespace rota::cuda {

/// Scratch bytes that select() needs for that many layers. 0 when the problems are not valid.
template <level_budget Tokens, level_budget Groups>
std::size_t select_workspace_bytes(const backend&, std::span<const select_problem> problems,
                                   index_t layers) {
  if (layers < 0 || !detail::check_problems(problems, static_cast<std::size_t>(layers))) return 0;
  carver count;
  detail::select_memory(count, problems, layers);
  return count.bytes();
}

/// Selects tokens, and groups inside the survivors, over one layer or a span of layers: the same
/// set as rota::cpu::select gives for the same scores, bit for bit. Scores, masks, types and
/// outputs lie in device memory; the lengths may (select_problem::device_tokens). Budgets are asked
/// on the device: their count, floor, threshold, row_count and count_of_type are ROTA_HD. Their
/// parameters may lie there (device_budget).
///
/// On the device: what a device_budget's check() says ("tokens" or "groups"), budget_too_small and
/// bad_count ("tokens" or "groups"), bad_parameter ("types"), bad_count ("length"); the outputs are
/// then untouched. From the host: what the budgets' check() says, the errors of the views,
/// wrong_memory, overlapping_memory, workspace_too_small.
template <level_budget Tokens, level_budget Groups>
status select(const backend& b, std::span<const select_problem> problems,
              const typename Tokens::params& tokens, const typename Groups::params& groups,
              std::span<const layer_scores> layers, std::span<const selection> out, workspace ws) {
  if (status s = check_backend(b); !s) return s;
  if (status s = detail::check_budget<Tokens>(b, tokens, "tokens.budget"); !s) return s;
  if (status s = detail::check_budget<Groups>(b, groups, "groups.budget"); !s) return s;
  if (out.size() != layers.size()) return {errc::bad_shape, "out"};
  if (status s = detail::check_problems(problems, layers.size()); !s) return s;
  if (status s = detail::check_layers(b, problems, selects_by<Tokens>, selects_by<Groups>, layers,
                                      out, ws);
      !s)
    return s;
  carver from(ws);
  const detail::select_memory m(from, problems, static_cast<index_t>(layers.size()));
  if (status s = from.check(); !s) return s;
  if (layers.empty()) return {};

  if (status s = detail::stage_layers(b, m, problems, layers, out); !s) return s;
  return detail::select_staged<Tokens, Groups>(b, m, tokens, groups);
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

}  // namespace rota::cuda

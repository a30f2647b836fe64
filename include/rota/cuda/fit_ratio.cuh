#pragma once

#include <rota/attend/fit_ratio.hpp>
#include <rota/cuda/select/fit_kernels.cuh>
#include <rota/cuda/select/stages.cuh>
#include <rota/cuda/select/weigh.cuh>

namespace rota::cuda {

namespace detail {

/// A budget with its parameters in device memory.
template <level_budget Budget>
struct placed_budget {
  using type = keep_all;
  static keep_all::params at(const keep_all::params*) { return {}; }
};
template <budget Budget>
struct placed_budget<Budget> {
  using type = device_budget<Budget>;
  static typename type::params at(const typename Budget::params* values) { return {values}; }
};

/// The arrays of one search.
template <class Op>
struct fit_memory {
  select_memory select;
  fit_trial<Op>* trial = nullptr;
  std::uint32_t* fault = nullptr;  ///< of a try
  packed_shape* shapes = nullptr;  ///< [layers]
  weigh_table weigh;
  row_weight* rows = nullptr;  ///< [rows]

  fit_memory(carver& from, std::span<const select_problem> problems)
      : select(from, problems, static_cast<index_t>(problems.size())) {
    trial = from.take<fit_trial<Op>>(1);
    fault = from.take<std::uint32_t>(1);
    shapes = from.take<packed_shape>(select.table.layer_count);
    weigh.slices = from.take<std::uint32_t>(slices());
    weigh.tokens = from.take<std::uint32_t>(select.table.rows);
    rows = from.take<row_weight>(select.table.rows);
  }

  index_t slices() const { return select.table.chunks * weigh_table::records_a_chunk; }
};

/// Shapes that pack() writes, of the layers that are selected.
inline status check_device_shapes(std::span<const packed_shape> shapes) {
  for (const packed_shape& s : shapes)
    if (s.record_tokens != record_tokens || s.order != value_order::token_major)
      return {errc::bad_shape, "shapes"};
  return {};
}

inline status stage_shapes(const backend& b, std::span<const packed_shape> shapes,
                           packed_shape* to) {
  for (std::size_t first = 0; first < shapes.size(); first += stage_shapes_kernel::most) {
    stage_shapes_kernel::arguments a{};
    a.to = to + first;
    a.fault = b.fault;
    for (std::size_t l = first; l < shapes.size() && a.count < stage_shapes_kernel::most; ++l)
      a.shapes[a.count++] = shapes[l];
    if (status s = launch<stage_shapes_kernel>(b, {1}, a); !s) return s;
  }
  return {};
}

/// One try: selects by the trial's budgets, weighs, and lets the search go on.
template <class Op, class Tokens, class Groups, class SetRatio>
status try_step(const backend& b, const backend& trying, const fit_memory<Op>& m,
                const typename Tokens::params& token_params,
                const typename Groups::params& group_params,
                const typename fit_step_kernel<Op, SetRatio>::arguments& step) {
  const select_memory& s = m.select;
  if (status e = decide<Tokens, Groups>(trying, s, token_params, group_params); !e) return e;
  if (status e = launch<weigh_chunks_kernel>(
          trying, {s.table.chunks}, {s.table, s.alive, s.masks, s.written, m.weigh, trying.fault},
          weigh_chunks_kernel::shared_bytes);
      !e)
    return e;
  if (status e = launch<weigh_rows_kernel>(
          trying, {blocks_of(s.table.rows, weigh_rows_kernel::rows_a_block)},
          {s.table, m.shapes, m.weigh, m.rows, trying.fault});
      !e)
    return e;
  return launch<fit_step_kernel<Op, SetRatio>>(b, {1}, step);
}

/// What can be seen from the host.
template <class Op, class SetRatio>
status check_fit_call(const backend& b, std::span<const select_problem> layers,
                      std::span<const packed_shape> shapes, typename Op::params p,
                      std::span<const layer_scores> scores, const SetRatio& set_ratio,
                      const double* ratio, std::span<const selection> out, const workspace& ws) {
  using Tokens = typename Op::token_selector::budget;
  using Groups = typename Op::group_selector::budget;
  if (status s = check_backend(b); !s) return s;
  if (status s = rota::detail::check_fit(layers, shapes, scores, out); !s) return s;
  if (status s = check_device_shapes(shapes); !s) return s;
  if (status s = check_problems(layers, layers.size()); !s) return s;
  set_ratio(p, 1.0);
  if (status s = check_budget<Tokens>(b, p.tokens.budget, "tokens.budget"); !s) return s;
  if (status s = check_budget<Groups>(b, p.groups.budget, "groups.budget"); !s) return s;
  if (status s = check_layers(b, layers, selects_by<Tokens>, selects_by<Groups>, scores, out, ws);
      !s)
    return s;
  if (ratio == nullptr) return {errc::null_view, "ratio"};
  if (status s = check_memory(b, named_memory(ratio, "ratio")); !s) return s;
  const byte_range result(ratio, sizeof *ratio);
  if (overlaps(result, {ws.data, ws.bytes})) return {errc::overlapping_memory, "ratio"};
  for (std::size_t l = 0; l < layers.size(); ++l)
    if (layer_ranges(layers[l], scores[l], out[l]).meets(result))
      return {errc::overlapping_memory, "ratio"};
  return {};
}

}  // namespace detail

/// Scratch bytes that fit_ratio() needs. 0 when the problems are not valid.
template <class Op>
std::size_t fit_ratio_workspace_bytes(const backend&, std::span<const select_problem> layers) {
  if (!detail::check_problems(layers, layers.size())) return 0;
  carver count;
  const detail::fit_memory<Op> counted(count, layers);
  return count.bytes();
}

/// A budget in bytes, met by real bytes, as rota::fit_ratio() meets it: the same ratio and the same
/// selection for the same scores. The search runs on the device; nothing waits. `ratio` is a number
/// in device memory; `set_ratio` is a function object that device code can call and that is copied
/// there:
///
///   struct set_tokens {
///     ROTA_HD void operator()(op::params& p, double ratio) const { p.tokens.budget.ratio = ratio;
///     }
///   };
///
/// Tries are bounded (step_search::most_tries) and all are launched; those after the search has
/// ended return at once.
///
/// On the device: budget_too_small ("limit") when nothing fits that holds the protected tokens, and
/// the errors of select() but for its budget_too_small. From the host: bad_shape ("shapes": pack()
/// of this backend makes no such store), the errors of select(), of "ratio" too. `ratio` and `out`
/// are then untouched.
template <class Op, class SetRatio>
status fit_ratio(const backend& b, std::span<const select_problem> layers,
                 std::span<const packed_shape> shapes, const typename Op::params& p,
                 std::span<const layer_scores> scores, index_t limit, SetRatio set_ratio,
                 double* ratio, std::span<const selection> out, workspace ws) {
  using tokens_there = detail::placed_budget<typename Op::token_selector::budget>;
  using groups_there = detail::placed_budget<typename Op::group_selector::budget>;
  using Tokens = typename tokens_there::type;
  using Groups = typename groups_there::type;
  static_assert(selects_by<Tokens> || selects_by<Groups>,
                "rota: fit_ratio needs a budget to change");
  if (status s =
          detail::check_fit_call<Op>(b, layers, shapes, p, scores, set_ratio, ratio, out, ws);
      !s)
    return s;
  carver from(ws);
  const detail::fit_memory<Op> m(from, layers);
  if (status s = from.check(); !s) return s;
  if (layers.empty()) return {};

  // What a try finds wrong is for the search alone: it has a fault word of its own.
  backend trying = b;
  trying.fault = m.fault;
  const typename Tokens::params token_params = tokens_there::at(&m.trial->tokens);
  const typename Groups::params group_params = groups_there::at(&m.trial->groups);
  const typename fit_step_kernel<Op, SetRatio>::arguments step{
      m.select.table, m.shapes, m.rows, p, set_ratio, limit, m.trial, m.fault, ratio, b.fault};

  if (status s = launch<begin_fit_kernel<Op, SetRatio>>(b, {1}, step); !s) return s;
  if (status s = detail::stage_layers(trying, m.select, layers, scores, out); !s) return s;
  if (status s = detail::stage_shapes(trying, shapes, m.shapes); !s) return s;
  if (status s = detail::launch_clear(trying, m.weigh.slices, m.slices()); !s) return s;
  if (status s = detail::launch_clear(trying, m.weigh.tokens, m.select.table.rows); !s) return s;
  for (int tries = step_search::most_tries(fit_ratio_steps); tries > 0; --tries)
    if (status s = detail::try_step<Op, Tokens, Groups, SetRatio>(b, trying, m, token_params,
                                                                  group_params, step);
        !s)
      return s;
  return detail::select_staged<Tokens, Groups>(b, m.select, token_params, group_params);
}

}  // namespace rota::cuda

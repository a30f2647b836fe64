#pragma once

#include <span>

#include <rota/attend/seam.hpp>
#include <rota/core/workspace.hpp>
#include <rota/select/selection.hpp>
#include <rota/store/packed_size.hpp>
#include <rota/store/step_search.hpp>

namespace rota {

/// Steps that fit_ratio() cuts [0, 1] into.
inline constexpr int fit_ratio_steps = 1 << 16;

namespace detail {

/// The arrays of one fit_ratio() call: a selection to try ratios with, and select()'s workspace.
struct fit_scratch {
  selection* trial = nullptr;  ///< [layers]
  workspace inner;

  fit_scratch(carver& c, std::span<const select_problem> layers, std::size_t inner_bytes) {
    const auto count = static_cast<index_t>(layers.size());
    trial = c.take<selection>(count);
    for (index_t l = 0; l < count; ++l) {
      const index_t h = layers[static_cast<std::size_t>(l)].kv_heads;
      const index_t n = layers[static_cast<std::size_t>(l)].tokens;
      selection s;
      s.indices = view<std::int32_t, 2>(c.take<std::int32_t>(h * n), h, n);
      s.masks = view<group_mask, 2>(c.take<group_mask>(h * n), h, n);
      s.counts = view<std::int32_t, 1>(c.take<std::int32_t>(h), h);
      if (trial != nullptr) trial[l] = s;
    }
    inner.data = c.take<std::byte>(static_cast<std::int64_t>(inner_bytes));
    inner.bytes = inner_bytes;
  }
};

inline status check_fit(std::span<const select_problem> layers,
                        std::span<const packed_shape> shapes, std::span<const layer_scores> scores,
                        std::span<const selection> out) {
  if (shapes.size() != layers.size()) return {errc::bad_shape, "shapes"};
  if (scores.size() != layers.size()) return {errc::bad_shape, "scores"};
  if (out.size() != layers.size()) return {errc::bad_shape, "out"};
  for (std::size_t l = 0; l < layers.size(); ++l) {
    if (status s = check_problem(layers[l]); !s) return s;
    if (status s = check_shape(shapes[l]); !s) return s;
    if (shapes[l].kv_heads != layers[l].kv_heads || shapes[l].record.groups() != layers[l].groups)
      return {errc::bad_shape, "shapes"};
  }
  return {};
}

/// Whether the scratch memory meets what a layer reads or what the call writes in the end.
inline bool touches_layer(const byte_range& scratch, const select_problem& p,
                          const layer_scores& scores, const selection& out) {
  for (const byte_range& r :
       {range_of(scores.tokens), range_of(scores.groups), range_of(p.available),
        range_of(p.positions), range_of(out.indices), range_of(out.masks), range_of(out.counts)})
    if (overlaps(scratch, r)) return true;
  return false;
}

}  // namespace detail

/// Scratch bytes that fit_ratio() needs. 0 when the problems are not valid.
template <class Op, class Backend>
std::size_t fit_ratio_workspace_bytes(const Backend& b, std::span<const select_problem> layers) {
  for (const select_problem& p : layers)
    if (!check_problem(p)) return 0;
  carver c;
  const detail::fit_scratch counted(c, layers, Op::select_workspace_bytes(b, layers));
  return c.bytes();
}

/// A budget in bytes, met by real bytes: finds a ratio whose packed stores weigh at most `limit`
/// over all layers, index, tables, means and slack included, tails not; and selects by it.
/// `set_ratio(params, ratio)` puts a ratio of [0, 1] where it belongs: into a budget of either
/// level, or, as a count, wherever that grows with it. `shapes` are the stores', one for each
/// layer (Op::shape_of). `scores` are as for Op::select, normalized if they are to be.
///
/// 1 if that fits. Else searches the steps of 1 / fit_ratio_steps: `ratio` fits, the next step does
/// not. (Bytes do not grow with the ratio everywhere, since a record that drops
/// nothing has no index: a larger ratio may fit by chance.) `out` holds the selection.
///
/// Errors leave `ratio` and `out` untouched: bad_shape, those of Op::select;
/// budget_too_small ("limit") when nothing fits that holds the protected tokens.
template <class Op, class Backend, class SetRatio>
status fit_ratio(const Backend& b, std::span<const select_problem> layers,
                 std::span<const packed_shape> shapes, typename Op::params p,
                 std::span<const layer_scores> scores, index_t limit, SetRatio&& set_ratio,
                 double& ratio, std::span<const selection> out, workspace ws) {
  static_assert(seam::host_backend<Backend>,
                "rota: this fit_ratio weighs selections on the host; those in device memory are "
                "weighed by rota::cuda::fit_ratio");
  if (status s = detail::check_fit(layers, shapes, scores, out); !s) return s;
  for (std::size_t l = 0; l < layers.size(); ++l)
    if (detail::touches_layer({ws.data, ws.bytes}, layers[l], scores[l], out[l]))
      return {errc::overlapping_memory, "ws"};
  carver c(ws);
  const detail::fit_scratch scratch(c, layers, Op::select_workspace_bytes(b, layers));
  if (status s = c.check(); !s) return s;

  const auto ratio_of = [](int step) { return static_cast<double>(step) / fit_ratio_steps; };
  const auto measure = [&](int step, index_t& bytes) -> status {
    set_ratio(p, ratio_of(step));
    const std::span<const selection> trial(scratch.trial, layers.size());
    if (status s = Op::select(b, layers, p, scores, trial, scratch.inner); !s) return s;
    for (std::size_t l = 0; l < layers.size(); ++l)
      bytes += packed_sealed_bytes(shapes[l], trial[l]);
    return {};
  };
  int step = 0;
  if (status s = largest_step_that_fits(fit_ratio_steps, limit, measure, step); !s) return s;
  set_ratio(p, ratio_of(step));
  if (status s = Op::select(b, layers, p, scores, out, scratch.inner); !s) return s;
  ratio = ratio_of(step);
  return {};
}

}  // namespace rota

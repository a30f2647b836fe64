#pragma once

#include <span>

#include <rota/core/workspace.hpp>
#include <rota/cuda/backend.cuh>
#include <rota/cuda/select/device_budget.cuh>
#include <rota/cuda/select/table.cuh>

namespace rota::cuda::detail {

inline const select_problem& problem_of(std::span<const select_problem> problems, index_t layer) {
  return problems[problems.size() == 1 ? 0 : static_cast<std::size_t>(layer)];
}

inline status check_problems(std::span<const select_problem> problems, std::size_t layers) {
  if (problems.size() != 1 && problems.size() != layers) return {errc::bad_shape, "problems"};
  for (const select_problem& p : problems)
    if (status s = check_problem(p); !s) return s;
  // Counts of items are 32 bits wide.
  index_t items = 0;
  for (std::size_t l = 0; l < layers; ++l) {
    const select_problem& p = problem_of(problems, static_cast<index_t>(l));
    items += p.kv_heads * p.tokens * p.groups;
    if (p.kv_heads > INT32_MAX || items >= INT64_C(0xffffffff)) return {errc::bad_shape, "tokens"};
  }
  return {};
}

/// A budget does not know which level it serves: `argument` says so.
template <level_budget Budget>
status check_budget([[maybe_unused]] const backend& b,
                    [[maybe_unused]] const typename Budget::params& params,
                    [[maybe_unused]] const char* argument) {
  if constexpr (selects_by<Budget>) {
    if (status s = Budget::check(params); !s) return {s.code, argument};
    if constexpr (checked_on_device<Budget>) return check_memory(b, params.at, argument);
  }
  return {};
}

/// Checks one layer's scores of the levels that are read.
inline status check_layer_scores(const backend& b, const select_problem& p, bool tokens,
                                 bool groups, const layer_scores& scores) {
  if (tokens) {
    if (status s = check_rows(b, scores.tokens, alignof(float), "scores.tokens"); !s) return s;
    if (scores.tokens.extent[0] != p.kv_heads || scores.tokens.extent[1] != p.tokens)
      return {errc::bad_shape, "scores.tokens"};
  }
  if (groups) {
    if (status s = check_rows(b, scores.groups, alignof(float), "scores.groups"); !s) return s;
    if (scores.groups.extent[0] != p.kv_heads || scores.groups.extent[1] != p.tokens ||
        scores.groups.extent[2] != p.groups)
      return {errc::bad_shape, "scores.groups"};
  }
  return {};
}

/// The same, and the memory for its selection.
inline status check_layer(const backend& b, const select_problem& p, bool tokens, bool groups,
                          const layer_scores& scores, const selection& out) {
  if (status s = check_layer_scores(b, p, tokens, groups, scores); !s) return s;
  if (status s = check_selection_memory(out, p.kv_heads, p.tokens); !s) return s;
  const named_memory uses[] = {{out.indices.data, "selection.indices"},
                               {out.masks.data, "selection.masks"},
                               {out.counts.data, "selection.counts"},
                               {p.available.data, "available"},
                               {p.types.data, "types"},
                               {p.positions.data, "positions"},
                               {p.device_tokens, "device_tokens"}};
  for (const named_memory& use : uses)
    if (status s = check_memory(b, use); !s) return s;
  return {};
}

/// The memory that a layer reads, or writes.
struct layer_ranges {
  byte_range reads[5], writes[3];

  layer_ranges(const select_problem& p, const layer_scores& scores, const selection& out)
      : reads{range_of(scores.tokens), range_of(scores.groups), range_of(p.available),
              range_of(p.types), range_of(p.positions)},
        writes{range_of(out.indices), range_of(out.masks), range_of(out.counts)} {}

  bool meets(const byte_range& r) const {
    for (const byte_range& own : reads)
      if (overlaps(own, r)) return true;
    for (const byte_range& own : writes)
      if (overlaps(own, r)) return true;
    return false;
  }
};

inline status check_layers(const backend& b, std::span<const select_problem> problems, bool tokens,
                           bool groups, std::span<const layer_scores> scores,
                           std::span<const selection> out, const workspace& ws) {
  if (status s = check_memory(b, ws.data, "ws"); !s) return s;
  const auto ranges = [&](std::size_t l) {
    return layer_ranges(problem_of(problems, static_cast<index_t>(l)), scores[l], out[l]);
  };
  for (std::size_t l = 0; l < scores.size(); ++l) {
    const select_problem& p = problem_of(problems, static_cast<index_t>(l));
    if (status s = check_layer(b, p, tokens, groups, scores[l], out[l]); !s) return s;
    if (ranges(l).meets({ws.data, ws.bytes})) return {errc::overlapping_memory, "ws"};
  }
  for (std::size_t l = 0; l < scores.size(); ++l)
    for (std::size_t o = 0; o < scores.size(); ++o)
      for (const byte_range& w : ranges(l).writes) {
        const layer_ranges other = ranges(o);
        for (const byte_range& r : other.reads)
          if (overlaps(w, r)) return {errc::overlapping_memory, "selection"};
        for (const byte_range& x : other.writes)  // inside a layer they have been compared
          if (l != o && overlaps(w, x)) return {errc::overlapping_memory, "selection"};
      }
  return {};
}

/// A layer as kernels read it.
inline select_entry entry_of(const select_problem& p, const layer_scores& scores,
                             const selection& out) {
  select_entry e;
  e.tokens = scores.tokens.data;
  e.groups = scores.groups.data;
  e.available = p.available.data;
  e.types = p.types.data;
  e.indices = out.indices.data;
  e.masks = out.masks.data;
  e.counts = out.counts.data;
  e.token_head = scores.tokens.stride[0];
  e.group_head = scores.groups.stride[0];
  e.group_token = scores.groups.stride[1];
  e.available_head = p.available.stride[0];
  e.index_head = out.indices.stride[0];
  e.mask_head = out.masks.stride[0];
  e.length = {p.tokens, p.device_tokens};
  e.sinks = p.protect.sinks;
  e.window = p.protect.window;
  e.sliding_window = p.sliding_window;
  e.positions = p.positions.data;
  e.place = p.place;
  e.first_head = p.first_head;
  e.layer_heads = p.place_of(0).heads;
  e.kv_heads = static_cast<std::int32_t>(p.kv_heads);
  e.group_count = p.groups;
  e.drop_empty = p.drop_empty;
  return e;
}

}  // namespace rota::cuda::detail

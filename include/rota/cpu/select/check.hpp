#pragma once

#include <span>

#include <rota/cpu/select/rule.hpp>
#include <rota/select/selection.hpp>

namespace rota::cpu::detail {

inline status check_problems(std::span<const select_problem> problems, std::size_t layers) {
  if (problems.size() != 1 && problems.size() != layers) return {errc::bad_shape, "problems"};
  for (const select_problem& p : problems)
    if (status s = check_problem(p); !s) return s;
  return {};
}

/// Checks one layer's scores of the levels that are read.
inline status check_scores(const select_problem& p, bool tokens, bool groups,
                           const layer_scores& scores) {
  if (tokens) {
    if (status s = check_view(scores.tokens, "scores.tokens"); !s) return s;
    if (scores.tokens.extent[0] != p.kv_heads || scores.tokens.extent[1] != p.tokens)
      return {errc::bad_shape, "scores.tokens"};
  }
  if (groups) {
    if (status s = check_view(scores.groups, "scores.groups"); !s) return s;
    if (scores.groups.extent[0] != p.kv_heads || scores.groups.extent[1] != p.tokens ||
        scores.groups.extent[2] != p.groups)
      return {errc::bad_shape, "scores.groups"};
  }
  return {};
}

/// Checks one layer's scores and the memory for its selection.
inline status check_layer(const select_problem& p, const budget_rule& tokens,
                          const budget_rule& groups, const layer_scores& scores,
                          const selection& out) {
  if (status s = check_scores(p, tokens.selects(), groups.selects(), scores); !s) return s;
  return check_selection_memory(out, p.kv_heads, p.tokens);
}

/// Whether what one layer writes meets what another (or the same) layer reads or writes.
inline bool writes_meet(const selection& written, const layer_scores& read, const select_problem& p,
                        const selection& other, bool same_layer) {
  const byte_range writes[] = {range_of(written.indices), range_of(written.masks),
                               range_of(written.counts)};
  const byte_range reads[] = {range_of(read.tokens), range_of(read.groups), range_of(p.available),
                              range_of(p.positions)};
  const byte_range others[] = {range_of(other.indices), range_of(other.masks),
                               range_of(other.counts)};
  for (const byte_range& w : writes) {
    for (const byte_range& r : reads)
      if (overlaps(w, r)) return true;
    // Within a layer check_selection_memory() has compared the three already.
    for (const byte_range& o : others)
      if (!same_layer && overlaps(w, o)) return true;
  }
  return false;
}

/// Whether scratch memory meets anything that a layer reads or writes.
inline bool memory_overlaps(const layer_scores& read, const select_problem& p, const selection& out,
                            const byte_range& scratch) {
  const byte_range ranges[] = {range_of(read.tokens), range_of(read.groups), range_of(p.available),
                               range_of(p.positions), range_of(out.indices), range_of(out.masks),
                               range_of(out.counts)};
  for (const byte_range& r : ranges)
    if (overlaps(scratch, r)) return true;
  return false;
}

}  // namespace rota::cpu::detail

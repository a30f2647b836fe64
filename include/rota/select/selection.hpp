#pragma once

#include <rota/core/types.hpp>
#include <rota/policy/visibility.hpp>

namespace rota {

/// Scores of one layer of one sequence, caller-owned. A level that does not select has a null view.
struct layer_scores {
  view<float, 2> tokens;  ///< [kv_heads, n]
  view<float, 3> groups;  ///< [kv_heads, n, S]
};

/// What one layer of one sequence asks of selection, besides scores and budgets.
struct select_problem {
  index_t tokens = 0;    ///< n
  index_t kv_heads = 0;  ///< at least 1
  int groups = 1;        ///< S, 1 .. max_groups
  protection protect;    ///< kept whole, counted inside every budget
  /// Removes survivors that keep no group, protected ones excepted. Otherwise they stay, with
  /// their key and their share of the softmax.
  bool drop_empty = false;
  /// [kv_heads, n]: the groups that exist at all. Others are never selected, but budgets count
  /// them, so that a ratio means the same for a store that is routed again. A null view means that
  /// all do.
  view<const group_mask, 2> available;
  /// [n]: of each token a type, read by budgets with one count for each type (k_by_type). A null
  /// view means that all are of type 0; a store that is routed again has none.
  view<const std::uint8_t, 1> types;
  /// Read by budgets that give layers different shares (pyramid), and by nothing else.
  layer_place place;
  /// Where the heads here are only some of a layer's, as when a store is routed again: the first of
  /// them, and how many the layer has; 0: kv_heads. For budgets that give heads different shares.
  index_t first_head = 0, layer_heads = 0;
  /// As context::sliding_window. Tokens that no query behind the last token sees are never kept,
  /// the protected ones included; budgets count them, so that others are kept in their place.
  index_t sliding_window = 0;
  /// [tokens], ascending; read under a sliding window only. A null view means 0, 1, 2, ...
  view<const position_t, 1> positions;
  /// For backends on a device: where in its memory the number of tokens lies, at most `tokens`.
  /// Null: `tokens`.
  const std::int32_t* device_tokens = nullptr;

  /// Of the first tokens, how many no later query sees. Reads positions: host memory.
  index_t expired() const {
    return tokens_expired(tokens, sliding_window,
                          token_positions{positions.data, positions.stride[0]});
  }
  /// Tokens first_ranked() .. last_ranked() - 1 are neither protected nor expired.
  index_t first_ranked() const {
    const index_t sinks = protect.sinks < tokens ? protect.sinks : tokens;
    const index_t unseen = expired();
    return sinks > unseen ? sinks : unseen;
  }
  index_t last_ranked() const {
    const index_t last = protect.window < tokens ? tokens - protect.window : 0;
    return last > first_ranked() ? last : first_ranked();
  }
  budget_place place_of(index_t head) const {
    return {place, first_head + head, layer_heads > 0 ? layer_heads : kv_heads};
  }
  int type_of(index_t i) const { return types.data ? types(i) : 0; }
  group_mask available_groups(index_t head, index_t i) const {
    const group_mask all = full_mask(groups);
    return available.data ? static_cast<group_mask>(available(head, i) & all) : all;
  }
};

inline status check_problem(const select_problem& p) {
  if (p.tokens < 0 || p.tokens > INT32_MAX) return {errc::bad_shape, "tokens"};
  if (p.kv_heads < 1) return {errc::bad_shape, "kv_heads"};
  if (p.groups < 1 || p.groups > max_groups) return {errc::bad_shape, "groups"};
  if (p.protect.sinks < 0) return {errc::bad_count, "sinks"};
  if (p.protect.window < 0) return {errc::bad_count, "window"};
  if (p.place.layers < 1 || p.place.layer < 0 || p.place.layer >= p.place.layers)
    return {errc::bad_count, "place"};
  const index_t heads = p.layer_heads != 0 ? p.layer_heads : p.kv_heads;
  if (p.first_head < 0 || p.first_head > heads - p.kv_heads) return {errc::bad_count, "first_head"};
  if (p.sliding_window < 0) return {errc::bad_count, "sliding_window"};
  if (p.sliding_window > 0 && p.positions.data != nullptr) {
    if (status s = check_view(p.positions, "positions"); !s) return s;
    if (p.positions.extent[0] != p.tokens) return {errc::bad_shape, "positions"};
  }
  if (p.types.data != nullptr) {
    if (status s = check_view(p.types, "types"); !s) return s;
    if (p.types.extent[0] != p.tokens) return {errc::bad_shape, "types"};
  }
  if (p.available.data == nullptr) return {};
  if (status s = check_view(p.available, "available"); !s) return s;
  if (p.available.extent[0] != p.kv_heads || p.available.extent[1] != p.tokens)
    return {errc::bad_shape, "available"};
  return {};
}

/// The kept set of one layer of one sequence, caller-owned: in row h the first counts(h) entries
/// of `indices` are ascending token indices into the context, `masks` their kept groups.
struct selection {
  view<std::int32_t, 2> indices;  ///< [kv_heads, n]
  view<group_mask, 2> masks;      ///< [kv_heads, n]
  view<std::int32_t, 1> counts;   ///< [kv_heads]

  index_t kv_heads() const { return indices.extent[0]; }
  index_t capacity() const { return indices.extent[1]; }
};

/// Kept tokens and groups of one head, what the size of its records depends on.
struct head_counts {
  index_t tokens = 0;
  index_t groups = 0;
};

inline head_counts count_head(const selection& s, index_t h) {
  head_counts c{s.counts(h), 0};
  for (index_t i = 0; i < c.tokens; ++i) c.groups += __builtin_popcount(s.masks(h, i));
  return c;
}

inline status check_selection_memory(const selection& s, index_t kv_heads, index_t n) {
  if (status st = check_output(s.indices, "selection.indices"); !st) return st;
  if (status st = check_output(s.masks, "selection.masks"); !st) return st;
  if (status st = check_output(s.counts, "selection.counts"); !st) return st;
  if (s.indices.extent[0] != kv_heads || s.indices.extent[1] < n)
    return {errc::bad_shape, "selection.indices"};
  if (s.masks.extent[0] != kv_heads || s.masks.extent[1] < n)
    return {errc::bad_shape, "selection.masks"};
  if (s.counts.extent[0] != kv_heads) return {errc::bad_shape, "selection.counts"};
  if (overlaps(range_of(s.indices), range_of(s.masks)) ||
      overlaps(range_of(s.indices), range_of(s.counts)) ||
      overlaps(range_of(s.masks), range_of(s.counts)))
    return {errc::overlapping_memory, "selection"};
  return {};
}

/// Checks a selection that is read: counts in range, indices ascending and below n, masks within
/// the groups that exist.
inline status check_selection(const selection& s, index_t kv_heads, index_t n, int groups) {
  if (status st = check_selection_memory(s, kv_heads, 0); !st) return st;
  for (index_t h = 0; h < kv_heads; ++h) {
    const index_t count = s.counts(h);
    if (count < 0 || count > s.capacity() || count > s.masks.extent[1])
      return {errc::bad_selection, "selection.counts"};
    for (index_t i = 0; i < count; ++i) {
      const index_t at = s.indices(h, i);
      if (at < 0 || at >= n || (i > 0 && at <= s.indices(h, i - 1)))
        return {errc::bad_selection, "selection.indices"};
      if ((s.masks(h, i) & ~full_mask(groups)) != 0)
        return {errc::bad_selection, "selection.masks"};
    }
  }
  return {};
}

}  // namespace rota

#pragma once

#include <algorithm>
#include <limits>

#include <rota/core/workspace.hpp>
#include <rota/cpu/pack/record_writer.hpp>
#include <rota/cpu/unpack.hpp>
#include <rota/policy/slice_heads.hpp>
#include <rota/score/joint_heads.hpp>
#include <rota/select/selection.hpp>

namespace rota::cpu::detail {

/// How many tokens a store's heads hold: what the scratch memory of re-routing depends on.
struct reroute_size {
  index_t heads = 0, d_k = 0, d_v = 0;
  index_t rows = 0;     ///< tokens of all heads together
  index_t longest = 0;  ///< tokens of the head that has most
  index_t queries = 0;  ///< window queries, if their positions are to be filled in
  bool joint = false;   ///< whether a scorer joins the heads
};

template <codec E, int W>
reroute_size size_of(const packed_store<E, W>& from) {
  reroute_size s{from.kv_heads(), from.d_k(), from.d_v()};
  for (index_t h = 0; h < s.heads; ++h) {
    const index_t n = token_count(from, h);
    s.rows += n;
    s.longest = std::max(s.longest, n);
  }
  return s;
}

/// What no store of this shape that weighs at most `bytes` can exceed: one head may have all that
/// is sealed.
inline reroute_size size_bound(const packed_shape& shape, index_t bytes) {
  const index_t sealed =
      std::min(packed_tokens_bound(shape, bytes), index_t{INT32_MAX} * shape.kv_heads);
  return {shape.kv_heads,
          shape.record.d_k,
          shape.record.d_v,
          sealed + shape.kv_heads * shape.tail_capacity,
          std::min<index_t>(sealed, INT32_MAX) + shape.tail_capacity,
          0,
          false};
}

/// A store's heads as plain rows, one head after another: heads may hold different tokens, so each
/// is a context of its own with one kv head.
template <codec C, int W>
struct reroute_scratch {
  using E = plain_type_of<C>;
  reroute_size size;
  index_t groups = 0;
  index_t* first = nullptr;               ///< [heads + 1], where a head's rows begin
  E* keys = nullptr;                      ///< [rows, d_k]
  E* values = nullptr;                    ///< [rows, d_v]
  position_t* positions = nullptr;        ///< [rows]
  group_mask* available = nullptr;        ///< [rows]
  position_t* query_positions = nullptr;  ///< [queries]
  float* joined = nullptr;                ///< [rows], of scorers that join the heads
  index_t* next_row = nullptr;            ///< [heads], while they are joined
  float* token_scores = nullptr;          ///< [rows]
  float* group_scores = nullptr;          ///< [rows, groups]
  selection kept;                         ///< one row a head
  select_problem* problems = nullptr;     ///< [heads]
  layer_scores* scores = nullptr;         ///< [heads]
  selection* selections = nullptr;        ///< [heads], the rows of `kept`

  reroute_scratch(carver& c, const reroute_size& s) : size(s), groups(s.d_v / W) {
    first = c.take<index_t>(s.heads + 1);
    keys = c.take<E>(s.rows * s.d_k);
    values = c.take<E>(s.rows * s.d_v);
    positions = c.take<position_t>(s.rows);
    available = c.take<group_mask>(s.rows);
    query_positions = c.take<position_t>(s.queries);
    joined = c.take<float>(s.joint ? s.rows : 0);
    next_row = c.take<index_t>(s.joint ? s.heads : 0);
    token_scores = c.take<float>(s.rows);
    group_scores = c.take<float>(s.rows * groups);
    const index_t room = s.heads * s.longest;
    kept.indices = view<std::int32_t, 2>(c.take<std::int32_t>(room), s.heads, s.longest);
    kept.masks = view<group_mask, 2>(c.take<group_mask>(room), s.heads, s.longest);
    kept.counts = view<std::int32_t, 1>(c.take<std::int32_t>(s.heads), s.heads);
    problems = c.take<select_problem>(s.heads);
    scores = c.take<layer_scores>(s.heads);
    selections = c.take<selection>(s.heads);
  }

  /// Gives every head its rows.
  void place(const packed_store<C, W>& from) const {
    first[0] = 0;
    for (index_t h = 0; h < size.heads; ++h) first[h + 1] = first[h] + token_count(from, h);
    const index_t start = from.next_position() - size.queries;
    for (index_t i = 0; i < size.queries; ++i)
      query_positions[i] = static_cast<position_t>(start + i);
  }

  index_t tokens(index_t h) const { return first[h + 1] - first[h]; }

  unpacked_head<C> rows(index_t h) const {
    return {keys + first[h] * size.d_k, values + first[h] * size.d_v, positions + first[h],
            available + first[h]};
  }

  head_rows<E> source(index_t h) const {
    const unpacked_head<C> r = rows(h);
    return {r.keys, size.d_k, r.values, size.d_v, r.positions, r.available, tokens(h)};
  }

  /// The extra parts of a context, as head h sees them.
  template <element From, class... Parts>
  context<E, Parts...> parts_of([[maybe_unused]] const context<From, Parts...>& parts,
                                [[maybe_unused]] index_t h) const {
    context<E, Parts...> c;
    (slice_heads(static_cast<const Parts&>(parts), h, size.heads, static_cast<Parts&>(c)), ...);
    c.sliding_window = parts.sliding_window;
    if constexpr (requires { c.query_positions; })
      if (c.query_positions.data == nullptr)
        c.query_positions = view<const position_t, 1>(query_positions, size.queries);
    return c;
  }

  template <element From, class... Parts>
  context<E, Parts...> head_context(const context<From, Parts...>& parts, index_t h) const {
    const index_t n = tokens(h);
    const unpacked_head<C> r = rows(h);
    context<E, Parts...> c = parts_of(parts, h);
    c.keys = view<const E, 3>(r.keys, n, 1, size.d_k);
    c.values = view<const E, 3>(r.values, n, 1, size.d_v);
    c.positions = view<const position_t, 1>(r.positions, n);
    c.available = problems[h].available;
    return c;
  }

  view<const float, 1> joined_of(index_t h) const {
    return view<const float, 1>(joined + first[h], tokens(h));
  }

  /// Averages what each head has made alone, in token_scores, over the heads by position.
  void join_heads() const {
    std::copy_n(first, size.heads, next_row);
    for (;;) {
      std::int64_t position = std::numeric_limits<std::int64_t>::max();
      for (index_t h = 0; h < size.heads; ++h)
        if (next_row[h] < first[h + 1])
          position = std::min<std::int64_t>(position, positions[next_row[h]]);
      if (position == std::numeric_limits<std::int64_t>::max()) return;
      const auto has = [&](index_t h) {
        return next_row[h] < first[h + 1] && positions[next_row[h]] == position;
      };
      float sum = 0;
      for (index_t h = 0; h < size.heads; ++h)
        if (has(h)) sum += token_scores[next_row[h]];
      for (index_t h = 0; h < size.heads; ++h)
        if (has(h)) joined[next_row[h]++] = sum / static_cast<float>(size.heads);
    }
  }

  /// The problem of a head of n tokens, of which `p`, an operator's parameters, says the rest.
  template <class Params>
  select_problem problem(const group_mask* exist, index_t n, const Params& p) const {
    select_problem s;
    s.tokens = n;
    s.kv_heads = 1;
    s.groups = static_cast<int>(groups);
    s.protect = p.protect;
    s.drop_empty = p.drop_empty;
    s.available = view<const group_mask, 2>(exist, 1, n);
    s.place = p.place;
    return s;
  }

  /// Tells selection where head h lies.
  template <class Params>
  void describe_head(index_t h, index_t sliding_window, const Params& p) const {
    const index_t n = tokens(h);
    problems[h] = problem(available + first[h], n, p);
    problems[h].first_head = h;
    problems[h].layer_heads = size.heads;
    problems[h].sliding_window = sliding_window;
    problems[h].positions = view<const position_t, 1>(positions + first[h], n);
    scores[h] = {view<float, 2>(token_scores + first[h], 1, n),
                 view<float, 3>(group_scores + first[h] * groups, 1, n, groups)};
    selections[h] = {view<std::int32_t, 2>(kept.indices.row(h), 1, n),
                     view<group_mask, 2>(kept.masks.row(h), 1, n),
                     view<std::int32_t, 1>(&kept.counts(h), 1)};
  }
};

}  // namespace rota::cpu::detail

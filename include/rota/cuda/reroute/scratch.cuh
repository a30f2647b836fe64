#pragma once

#include <rota/core/workspace.hpp>
#include <rota/cuda/pack/sources.cuh>
#include <rota/cuda/reroute/unpack.cuh>
#include <rota/policy/slice_heads.hpp>
#include <rota/select/selection.hpp>

namespace rota::cuda::detail {

/// A store's heads as plain rows and what is made of them. Heads may hold different tokens, so each
/// is a context of its own with one kv head. Only the handle is read on the host: every head has
/// room for as many tokens as any could have.
template <element E, int W>
struct reroute_scratch {
  index_t heads = 0, d_k = 0, d_v = 0, groups = 0, most = 0;
  unpacked_rows<E> rows;
  float* token_scores = nullptr;          ///< [heads, most]
  float* group_scores = nullptr;          ///< [heads, most, groups]
  selection kept;                         ///< one row a head
  index_t queries = 0;                    ///< window queries whose positions are to be filled in
  position_t* query_positions = nullptr;  ///< [queries]
  float* joined = nullptr;                ///< [heads, most], of scorers that join the heads

  template <class Swizzle>
  reroute_scratch(carver& c, const packed_store<E, W, Swizzle>& from, index_t queries_to_fill,
                  bool joint)
      : heads(from.kv_heads()),
        d_k(from.d_k()),
        d_v(from.d_v()),
        groups(d_v / W),
        most(from.most_tokens + from.tail_capacity()) {
    const index_t all = heads * most;
    rows.most = most;
    rows.keys = c.take<E>(all * d_k);
    rows.values = c.take<E>(all * d_v);
    rows.positions = c.take<position_t>(all);
    rows.available = c.take<group_mask>(all);
    rows.lengths = c.take<std::int32_t>(heads);
    token_scores = c.take<float>(all);
    group_scores = c.take<float>(all * groups);
    kept.indices = view<std::int32_t, 2>(c.take<std::int32_t>(all), heads, most);
    kept.masks = view<group_mask, 2>(c.take<group_mask>(all), heads, most);
    kept.counts = view<std::int32_t, 1>(c.take<std::int32_t>(heads), heads);
    queries = queries_to_fill;
    query_positions = c.take<position_t>(queries);
    joined = c.take<float>(joint ? all : 0);
  }

  /// Head h, with its share of the extra parts of a context.
  template <element From, class... Parts>
  context<E, Parts...> head_context([[maybe_unused]] const context<From, Parts...>& parts,
                                    index_t h) const {
    context<E, Parts...> c;
    (slice_heads(static_cast<const Parts&>(parts), h, heads, static_cast<Parts&>(c)), ...);
    const index_t at = h * most;
    c.keys = view<const E, 3>(rows.keys + at * d_k, most, 1, d_k);
    c.values = view<const E, 3>(rows.values + at * d_v, most, 1, d_v);
    c.positions = view<const position_t, 1>(rows.positions + at, most);
    c.available = view<const group_mask, 2>(rows.available + at, 1, most);
    c.device_tokens = rows.lengths + h;
    c.sliding_window = parts.sliding_window;
    if constexpr (requires { c.query_positions; })
      if (c.query_positions.data == nullptr)
        c.query_positions = view<const position_t, 1>(query_positions, queries);
    return c;
  }
  view<const float, 1> joined_of(index_t h) const {
    return view<const float, 1>(joined + h * most, most);
  }

  /// All heads as pack() reads them.
  pack_source<E> source() const {
    context<E> c;
    c.keys = view<const E, 3>(rows.keys, {most, heads, d_k}, {d_k, most * d_k, 1});
    c.values = view<const E, 3>(rows.values, {most, heads, d_v}, {d_v, most * d_v, 1});
    c.positions = view<const position_t, 1>(rows.positions, most);
    c.available = view<const group_mask, 2>(rows.available, heads, most);
    c.device_tokens = rows.lengths;
    pack_source<E> s(c);
    s.position_head_stride = most;
    s.length_head_stride = 1;
    return s;
  }

  /// The problem of head h, of which `p`, an operator's parameters, says the rest.
  template <class Params>
  select_problem problem(index_t h, index_t sliding_window, const Params& p) const {
    select_problem s;
    s.tokens = most;
    s.kv_heads = 1;
    s.groups = static_cast<int>(groups);
    s.protect = p.protect;
    s.drop_empty = p.drop_empty;
    s.available = view<const group_mask, 2>(rows.available + h * most, 1, most);
    s.place = p.place;
    s.sliding_window = sliding_window;
    s.positions = view<const position_t, 1>(rows.positions + h * most, most);
    s.first_head = h;
    s.layer_heads = heads;
    s.device_tokens = rows.lengths + h;
    return s;
  }

  layer_scores scores(index_t h) const {
    return {view<float, 2>(token_scores + h * most, 1, most),
            view<float, 3>(group_scores + h * most * groups, 1, most, groups)};
  }
  selection selected(index_t h) const {
    return {view<std::int32_t, 2>(kept.indices.data + h * most, 1, most),
            view<group_mask, 2>(kept.masks.data + h * most, 1, most),
            view<std::int32_t, 1>(kept.counts.data + h, 1)};
  }
};

}  // namespace rota::cuda::detail

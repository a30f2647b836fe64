#pragma once

#include <algorithm>
#include <span>

#include <rota/cpu/pack.hpp>
#include <rota/cpu/score.hpp>
#include <rota/cpu/select.hpp>
#include <rota/cpu/unpack.hpp>
#include <rota/policy/slice_heads.hpp>

namespace rota::cpu {
namespace detail {

/// A budget over a layer's heads, when each head is its own problem of the span.
template <class Budget>
struct across_heads : Budget {};
template <counting_budget Budget>
struct across_heads<Budget> : Budget {
  static constexpr budget_scope scope =
      Budget::scope == budget_scope::layer ? budget_scope::span : Budget::scope;
};

/// The selector with its budget widened so.
template <class Selector>
struct across_heads_selector : Selector {};
template <class Selector>
requires Selector::selects struct across_heads_selector<Selector> : Selector {
  using budget = across_heads<typename Selector::budget>;
};

/// A store's heads as plain rows: heads may hold different tokens, so each is a context of its
/// own with one kv head.
template <element E, int W>
struct reroute_scratch {
  index_t heads = 0, longest = 0, d_k = 0, d_v = 0, groups = 0;
  E* keys = nullptr;                   ///< [heads, longest, d_k]
  E* values = nullptr;                 ///< [heads, longest, d_v]
  position_t* positions = nullptr;     ///< [heads, longest]
  group_mask* available = nullptr;     ///< [heads, longest]
  float* token_scores = nullptr;       ///< [heads, longest]
  float* group_scores = nullptr;       ///< [heads, longest, groups]
  selection kept;                      ///< one row a head
  select_problem* problems = nullptr;  ///< [heads]
  layer_scores* scores = nullptr;      ///< [heads]
  selection* selections = nullptr;     ///< [heads], the rows of `kept`

  reroute_scratch(carver& c, const packed_store<E, W>& from) {
    heads = from.kv_heads();
    d_k = from.d_k();
    d_v = from.d_v();
    groups = d_v / W;
    for (index_t h = 0; h < heads; ++h) longest = std::max(longest, token_count(from, h));
    const index_t rows = heads * longest;
    keys = c.take<E>(rows * d_k);
    values = c.take<E>(rows * d_v);
    positions = c.take<position_t>(rows);
    available = c.take<group_mask>(rows);
    token_scores = c.take<float>(rows);
    group_scores = c.take<float>(rows * groups);
    kept.indices = view<std::int32_t, 2>(c.take<std::int32_t>(rows), heads, longest);
    kept.masks = view<group_mask, 2>(c.take<group_mask>(rows), heads, longest);
    kept.counts = view<std::int32_t, 1>(c.take<std::int32_t>(heads), heads);
    problems = c.take<select_problem>(heads);
    scores = c.take<layer_scores>(heads);
    selections = c.take<selection>(heads);
  }

  unpacked_head<E> rows(index_t h) const {
    return {keys + h * longest * d_k, values + h * longest * d_v, positions + h * longest,
            available + h * longest};
  }

  head_rows<E> source(index_t h) const {
    const unpacked_head<E> r = rows(h);
    return {r.keys, d_k, r.values, d_v, r.positions, r.available, problems[h].tokens};
  }

  /// The extra parts of a context, as head h sees them.
  template <element From, class... Parts>
  context<E, Parts...> parts_of([[maybe_unused]] const context<From, Parts...>& parts,
                                [[maybe_unused]] index_t h) const {
    context<E, Parts...> c;
    (slice_heads(static_cast<const Parts&>(parts), h, heads, static_cast<Parts&>(c)), ...);
    return c;
  }

  template <element From, class... Parts>
  context<E, Parts...> head_context(const context<From, Parts...>& parts, index_t h) const {
    const index_t n = problems[h].tokens;
    const unpacked_head<E> r = rows(h);
    context<E, Parts...> c = parts_of(parts, h);
    c.keys = view<const E, 3>(r.keys, n, 1, d_k);
    c.values = view<const E, 3>(r.values, n, 1, d_v);
    c.positions = view<const position_t, 1>(r.positions, n);
    c.available = problems[h].available;
    return c;
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
  void describe_head(index_t h, index_t n, const Params& p) const {
    problems[h] = problem(available + h * longest, n, p);
    scores[h] = {view<float, 2>(token_scores + h * longest, 1, n),
                 view<float, 3>(group_scores + h * longest * groups, 1, n, groups)};
    selections[h] = {view<std::int32_t, 2>(kept.indices.row(h), 1, n),
                     view<group_mask, 2>(kept.masks.row(h), 1, n),
                     view<std::int32_t, 1>(&kept.counts(h), 1)};
  }
};

/// Bytes of the largest workspace among the steps that follow unpacking: scoring one head of
/// `longest` tokens, selecting in all of them, packing.
template <class Op, class Tokens, class Groups, element E, int W, element From, class... Parts>
std::size_t reroute_inner_bytes(const backend& b, const reroute_scratch<E, W>& s,
                                const context<From, Parts...>& parts,
                                const typename Op::params& p) {
  // Scoring asks for shapes only, so one row that is never read stands for all rows.
  static constexpr E row{};
  context<E, Parts...> c = s.parts_of(parts, 0);
  c.keys = view<const E, 3>(&row, {s.longest, 1, s.d_k}, {0, 0, 1});
  c.values = view<const E, 3>(&row, {s.longest, 1, s.d_v}, {0, 0, 1});
  const select_problem longest = s.problem(nullptr, s.longest, p);
  return std::max({Op::score_workspace_bytes(b, c, p),
                   select_workspace_bytes<Tokens, Groups>(b, {&longest, 1}, s.heads),
                   pack_workspace_bytes(b, Op::shape_of(s.heads, s.d_k, s.d_v, p))});
}

}  // namespace detail

/// Scratch bytes that reroute() needs for this store as it is now.
template <class Op, element E, int W, element From, class... Parts>
std::size_t reroute_workspace_bytes(const backend& b, const packed_store<E, W>& from,
                                    const context<From, Parts...>& parts,
                                    const typename Op::params& p) {
  if (!from.check() || !check_heads(parts, from.kv_heads())) return 0;
  using tokens = detail::across_heads_selector<typename Op::token_selector>;
  using groups = detail::across_heads_selector<typename Op::group_selector>;
  carver c;
  const detail::reroute_scratch<E, W> s(c, from);
  c.take<std::byte>(
      static_cast<std::int64_t>(detail::reroute_inner_bytes<Op, tokens, groups>(b, s, parts, p)));
  return c.bytes();
}

/// Selects again among all that a packed store holds, sealed tokens and tail, and packs what is
/// kept into `to` (other memory: the caller swaps the two). Positions stay; groups that were
/// dropped before stay dropped, their stand-ins go into the new means. Each kv head is scored as
/// a context of its own with one kv head, since heads may hold different tokens. Of `parts` only
/// the extra parts are read. store_too_small: `to` cannot hold it; `from` is never changed.
template <class Op, element E, int W, element From, class... Parts>
status reroute(const backend& b, const packed_store<E, W>& from,
               const context<From, Parts...>& parts, const typename Op::params& p,
               packed_store<E, W>& to, workspace ws) {
  if (status s = check_backend(b); !s) return s;
  if (status s = from.check(); !s) return s;
  if (status s = check_heads(parts, from.kv_heads()); !s) return s;
  if (from.d_v() % W != 0) return {errc::bad_group_width, "store"};
  using tokens = detail::across_heads_selector<typename Op::token_selector>;
  using groups = detail::across_heads_selector<typename Op::group_selector>;
  carver c(ws);
  detail::reroute_scratch<E, W> s(c, from);
  workspace inner;
  inner.bytes = detail::reroute_inner_bytes<Op, tokens, groups>(b, s, parts, p);
  inner.data = c.take<std::byte>(static_cast<std::int64_t>(inner.bytes));
  if (status st = c.check(); !st) return st;
  const byte_range target(to.data,
                          static_cast<std::size_t>(std::max<index_t>(0, to.capacity_bytes)));
  const byte_range source(from.data, static_cast<std::size_t>(from.bytes()));
  const byte_range scratch(ws.data, ws.bytes);
  if (overlaps(target, source) || overlaps(target, scratch) || parts_touch(parts, target))
    return {errc::overlapping_memory, "to"};
  if (overlaps(scratch, source) || parts_touch(parts, scratch))
    return {errc::overlapping_memory, "ws"};

  parallel_for(b, s.heads, [&](index_t h, int) { unpack_head(b, from, h, s.rows(h)); });
  for (index_t h = 0; h < s.heads; ++h) {
    s.describe_head(h, token_count(from, h), p);
    const context<E, Parts...> head = s.head_context(parts, h);
    if (status st = Op::score(b, head, p, s.scores[h], inner); !st) return st;
  }
  const auto n = static_cast<std::size_t>(s.heads);
  if (status st =
          select<tokens, groups>(b, std::span<const select_problem>(s.problems, n), p.tokens,
                                 p.groups, std::span<const layer_scores>(s.scores, n),
                                 std::span<const selection>(s.selections, n), inner);
      !st)
    return st;
  pack_options options;
  options.next_position = from.next_position();
  return detail::pack_rows<E>(
      b, Op::shape_of(s.heads, s.d_k, s.d_v, p), [&](index_t h) { return s.source(h); }, s.kept,
      options, to, inner);
}

}  // namespace rota::cpu

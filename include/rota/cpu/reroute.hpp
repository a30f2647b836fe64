#pragma once

#include <algorithm>
#include <span>

#include <rota/budget/at_most.hpp>
#include <rota/cpu/pack.hpp>
#include <rota/cpu/reroute/scratch.hpp>
#include <rota/cpu/score.hpp>
#include <rota/cpu/select.hpp>
#include <rota/select/across_heads.hpp>
#include <rota/store/byte_budget.hpp>

namespace rota::cpu {
namespace detail {

/// Bytes of the largest workspace among the steps that follow unpacking: scoring one head of
/// `longest` tokens, selecting in all of them, packing.
template <class Op, codec E, int W, element From, class... Parts>
std::size_t reroute_inner_bytes(const backend& b, const reroute_scratch<E, W>& s,
                                const context<From, Parts...>& parts,
                                const typename Op::params& p) {
  // Scoring asks for shapes only, so one row that is never read stands for all rows.
  using plain = plain_type_of<E>;
  static constexpr plain row{};
  const reroute_size& n = s.size;
  context<plain, Parts...> c = s.parts_of(parts, 0);
  c.keys = view<const plain, 3>(&row, {n.longest, 1, n.d_k}, {0, 0, 1});
  c.values = view<const plain, 3>(&row, {n.longest, 1, n.d_v}, {0, 0, 1});
  const select_problem longest = s.problem(nullptr, n.longest, p);
  using joint = rota::detail::joint_scorer_of<typename Op::token_selector>;
  std::size_t scoring = 0;
  if constexpr (joint::exists) {
    const auto joined = with_joined(c, view<const float, 1>(nullptr, n.longest));
    scoring = std::max(Op::score_workspace_bytes(b, joined, p),
                       score_tokens_workspace_bytes(b, typename joint::type{},
                                                    joint::params_of(p.tokens.scorer), c));
  } else {
    scoring = Op::score_workspace_bytes(b, c, p);
  }
  return std::max({scoring,
                   select_workspace_bytes(b, {&longest, 1}, n.heads, Op::group_selector::selects),
                   pack_workspace_bytes(b, Op::shape_of(n.heads, n.d_k, n.d_v, p))});
}

/// The arrays of a re-routing and the workspace of its steps.
template <class Op, codec E, int W>
struct reroute_memory {
  reroute_scratch<E, W> rows;
  workspace inner;

  template <element From, class... Parts>
  reroute_memory(carver& c, const backend& b, reroute_size size,
                 const context<From, Parts...>& parts, const typename Op::params& p)
      : rows(c, with_scoring(size, parts)) {
    inner.bytes = reroute_inner_bytes<Op>(b, rows, parts, p);
    inner.data = c.take<std::byte>(static_cast<std::int64_t>(inner.bytes));
  }

 private:
  /// What scoring needs beside the rows.
  template <class Context>
  static reroute_size with_scoring(reroute_size size, const Context& parts) {
    size.queries = queries_without_positions(parts);
    size.joint = rota::detail::joint_scorer_of<typename Op::token_selector>::exists;
    return size;
  }
};

template <class Op, codec E, int W, element From, class... Parts>
status check_reroute(const backend& b, const packed_store<E, W>& from,
                     const context<From, Parts...>& parts, const typename Op::params& p) {
  if (status s = check_backend(b); !s) return s;
  if (status s = from.check(); !s) return s;
  if (status s = check_heads(parts, from.kv_heads()); !s) return s;
  if (from.d_v() % W != 0) return {errc::bad_group_width, "store"};
  return check_shape(Op::shape_of(from.kv_heads(), from.d_k(), from.d_v(), p));
}

template <codec E, int W, element From, class... Parts>
status check_reroute_overlaps(const packed_store<E, W>& from, const context<From, Parts...>& parts,
                              const packed_store<E, W>& to, const workspace& ws) {
  const byte_range target(to.data,
                          static_cast<std::size_t>(std::max<index_t>(0, to.capacity_bytes)));
  const byte_range source(from.data, static_cast<std::size_t>(from.bytes()));
  const byte_range scratch(ws.data, ws.bytes);
  if (overlaps(target, source) || overlaps(target, scratch) || parts_touch(parts, target))
    return {errc::overlapping_memory, "to"};
  if (overlaps(scratch, source) || parts_touch(parts, scratch))
    return {errc::overlapping_memory, "ws"};
  return {};
}

/// Scores the heads with a scorer that joins them: each alone first, then together.
template <class Op, codec E, int W, element From, class... Parts>
status score_joint_heads(const backend& b, const context<From, Parts...>& parts,
                         const typename Op::params& p, const reroute_memory<Op, E, W>& m) {
  using joint = rota::detail::joint_scorer_of<typename Op::token_selector>;
  const reroute_scratch<E, W>& s = m.rows;
  for (index_t h = 0; h < s.size.heads; ++h)
    if (status st = score_tokens(b, typename joint::type{}, joint::params_of(p.tokens.scorer),
                                 s.head_context(parts, h), s.scores[h].tokens, m.inner);
        !st)
      return st;
  s.join_heads();
  for (index_t h = 0; h < s.size.heads; ++h)
    if (status st = Op::score(b, with_joined(s.head_context(parts, h), s.joined_of(h)), p,
                              s.scores[h], m.inner);
        !st)
      return st;
  return {};
}

/// Unpacks and scores every head.
template <class Op, codec E, int W, element From, class... Parts>
status score_heads(const backend& b, const packed_store<E, W>& from,
                   const context<From, Parts...>& parts, const typename Op::params& p,
                   const reroute_memory<Op, E, W>& m) {
  const reroute_scratch<E, W>& s = m.rows;
  s.place(from);
  parallel_for(b, s.size.heads, [&](index_t h, int) { unpack_head(b, from, h, s.rows(h)); });
  for (index_t h = 0; h < s.size.heads; ++h) s.describe_head(h, parts.sliding_window, p);
  if constexpr (rota::detail::joint_scorer_of<typename Op::token_selector>::exists) {
    return score_joint_heads<Op>(b, parts, p, m);
  } else {
    for (index_t h = 0; h < s.size.heads; ++h)
      if (status st = Op::score(b, s.head_context(parts, h), p, s.scores[h], m.inner); !st)
        return st;
    return {};
  }
}

/// Selects over all heads as over a span of layers.
template <class TokenBudget, class Op, codec E, int W>
status select_heads(const backend& b, const typename TokenBudget::params& tokens,
                    const typename Op::params& p, const reroute_memory<Op, E, W>& m) {
  const auto n = static_cast<std::size_t>(m.rows.size.heads);
  return select<rota::detail::across_heads<TokenBudget>,
                rota::detail::across_heads<typename Op::group_selector::budget>>(
      b, std::span<const select_problem>(m.rows.problems, n), tokens, p.groups.budget,
      std::span<const layer_scores>(m.rows.scores, n),
      std::span<const selection>(m.rows.selections, n), m.inner);
}

template <class Op, codec E, int W, element From, class... Parts>
status pack_heads(const backend& b, const packed_store<E, W>& from,
                  const context<From, Parts...>& parts, const typename Op::params& p,
                  const reroute_memory<Op, E, W>& m, packed_store<E, W>& to) {
  const reroute_scratch<E, W>& s = m.rows;
  pack_options options;
  options.next_position = from.next_position();
  if constexpr (provides<context<From, Parts...>, needs_codec>) options.codec = parts;
  return pack_rows<E>(
      b, Op::shape_of(s.size.heads, s.size.d_k, s.size.d_v, p),
      [&](index_t h) { return s.source(h); }, s.kept, options, to, m.inner);
}

}  // namespace detail

/// Scratch bytes that reroute() needs for this store as it is now. 0 when the arguments are not
/// valid.
template <class Op, codec E, int W, element From, class... Parts>
std::size_t reroute_workspace_bytes(const backend& b, const packed_store<E, W>& from,
                                    const context<From, Parts...>& parts,
                                    const typename Op::params& p) {
  if (!detail::check_reroute<Op>(b, from, parts, p)) return 0;
  carver c;
  detail::reroute_memory<Op, E, W>(c, b, detail::size_of(from), parts, p);
  return c.bytes();
}

/// Selects again among all that a packed store holds, sealed tokens and tail, and packs what is
/// kept into `to` (other memory: the caller swaps the two). Positions stay; groups that were
/// dropped before stay dropped, their stand-ins go into the new means. Each kv head is scored as
/// a context of its own with one kv head, since heads may hold different tokens; scorers that join
/// the heads (tova) are then averaged over them by position. Of `parts` only the extra parts and
/// the sliding window are read; window queries without positions have those before
/// from.next_position(). store_too_small: `to` cannot hold it; `from` is never changed.
template <class Op, codec E, int W, element From, class... Parts>
status reroute(const backend& b, const packed_store<E, W>& from,
               const context<From, Parts...>& parts, const typename Op::params& p,
               packed_store<E, W>& to, workspace ws) {
  if (status s = detail::check_reroute<Op>(b, from, parts, p); !s) return s;
  carver c(ws);
  const detail::reroute_memory<Op, E, W> m(c, b, detail::size_of(from), parts, p);
  if (status s = c.check(); !s) return s;
  if (status s = detail::check_reroute_overlaps(from, parts, to, ws); !s) return s;
  if (status s = detail::score_heads<Op>(b, from, parts, p, m); !s) return s;
  using budget = typename Op::token_selector::budget;
  if (status s = detail::select_heads<budget, Op>(b, p.tokens.budget, p, m); !s) return s;
  return detail::pack_heads<Op>(b, from, parts, p, m, to);
}

/// Scratch bytes that are enough for reroute_within() of this store as it is now, and of every
/// store of its shape that weighs at most cap_bytes: asked once, enough for a whole decoding. 0
/// when the arguments are not valid.
template <class Op, codec E, int W, element From, class... Parts>
std::size_t reroute_within_workspace_bytes(const backend& b, const packed_store<E, W>& from,
                                           const context<From, Parts...>& parts,
                                           const typename Op::params& p, index_t cap_bytes) {
  if (!detail::check_reroute<Op>(b, from, parts, p)) return 0;
  const packed_shape shape = Op::shape_of(from.kv_heads(), from.d_k(), from.d_v(), p);
  carver now, ever;
  detail::reroute_memory<Op, E, W>(now, b, detail::size_of(from), parts, p);
  detail::reroute_memory<Op, E, W>(ever, b, detail::size_bound(shape, cap_bytes), parts, p);
  return std::max(now.bytes(), ever.bytes());
}

/// reroute() under a cap: `to` will weigh at most cap_bytes, all of it (header, tables, index,
/// means, records, padding, and the tail, empty and as long as `p` says). Tokens survive as the
/// token budget of `p` says, but no more than the largest ratio of them, to 1 / 4096, whose store
/// fits: the ratio is found by real sizes. What is kept inside survivors is the group budget's
/// business. Errors as reroute(), and budget_too_small ("cap_bytes"): the cap cannot hold the
/// protected tokens; store_too_small ("to"): `to` has less memory than cap_bytes.
template <class Op, codec E, int W, element From, class... Parts>
status reroute_within(const backend& b, const packed_store<E, W>& from,
                      const context<From, Parts...>& parts, const typename Op::params& p,
                      index_t cap_bytes, packed_store<E, W>& to, workspace ws) {
  if (status s = detail::check_reroute<Op>(b, from, parts, p); !s) return s;
  if (to.capacity_bytes < cap_bytes) return {errc::store_too_small, "to"};
  carver c(ws);
  const detail::reroute_memory<Op, E, W> m(c, b, detail::size_of(from), parts, p);
  if (status s = c.check(); !s) return s;
  if (status s = detail::check_reroute_overlaps(from, parts, to, ws); !s) return s;
  if (status s = detail::score_heads<Op>(b, from, parts, p, m); !s) return s;

  using held = at_most<typename Op::token_selector::budget>;
  const packed_shape shape = Op::shape_of(from.kv_heads(), from.d_k(), from.d_v(), p);
  typename held::params tokens{p.tokens.budget, 1};
  const auto measure = [&](double ratio, index_t& bytes) {
    tokens.ratio = ratio;
    const status s = detail::select_heads<held, Op>(b, tokens, p, m);
    if (s.ok()) bytes = packed_bytes(shape, m.rows.kept);
    return s;
  };
  index_t bytes = 0;
  if (status s = measure(1, bytes); !s) return s;  // the budgets alone, whatever the cap
  if (bytes > cap_bytes) {
    double ratio = 0;
    const status fit = solve_ratio_for_bytes(cap_bytes, measure, ratio);
    if (fit == errc::budget_too_small) return {fit.code, "cap_bytes"};
    if (!fit) return fit;
    if (status s = measure(ratio, bytes); !s) return s;
  }
  return detail::pack_heads<Op>(b, from, parts, p, m, to);
}

}  // namespace rota::cpu

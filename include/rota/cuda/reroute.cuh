#pragma once

#include <algorithm>
#include <type_traits>

#include <rota/cuda/pack.cuh>
#include <rota/cuda/reroute/join_heads.cuh>
#include <rota/cuda/reroute/scratch.cuh>
#include <rota/cuda/score.cuh>
#include <rota/cuda/select.cuh>
#include <rota/score/joint_heads.hpp>
#include <rota/select/across_heads.hpp>

namespace rota::cuda {

namespace detail {

/// The arrays of a re-routing and the workspace of its steps.
template <class Op, element E, int W>
struct reroute_memory {
  reroute_scratch<E, W> rows;
  workspace inner;

  template <class Swizzle, element From, class... Parts>
  reroute_memory(carver& c, const backend& b, const packed_store<E, W, Swizzle>& from,
                 const context<From, Parts...>& parts, const typename Op::params& p)
      : rows(c, from, queries_without_positions(parts), joint::exists) {
    const select_problem one = rows.problem(0, 0, p);
    carver selecting, packing;
    select_memory(selecting, {&one, 1}, rows.heads);
    pack_scratch(packing, b, Op::shape_of(rows.heads, rows.d_k, rows.d_v, p), rows.most);
    inner.bytes = std::max(
        {scoring_bytes(b, rows.head_context(parts, 0), p), selecting.bytes(), packing.bytes()});
    inner.data = c.take<std::byte>(static_cast<std::int64_t>(inner.bytes));
  }

 private:
  using joint = rota::detail::joint_scorer_of<typename Op::token_selector>;

  template <class Context>
  std::size_t scoring_bytes(const backend& b, const Context& head,
                            const typename Op::params& p) const {
    if constexpr (joint::exists)
      return std::max(score_tokens_workspace_bytes(b, typename joint::type{},
                                                   joint::params_of(p.tokens.scorer), head),
                      Op::score_workspace_bytes(b, with_joined(head, rows.joined_of(0)), p));
    else
      return Op::score_workspace_bytes(b, head, p);
  }
};

/// What can be seen of the store and the policies from the host.
template <class Op, element E, int W, class Swizzle, element From, class... Parts>
status check_reroute(const backend& b, const packed_store<E, W, Swizzle>& from,
                     const context<From, Parts...>& parts, const typename Op::params& p) {
  static_assert(std::is_same_v<typename Op::store_type, packed_store<E, W, Swizzle>>,
                "rota: a store is re-routed by an operator that packs such stores");
  if (status s = check_backend(b); !s) return s;
  if (status s = check_store(b, from); !s) return s;
  if (status s = check_packable<E, W>(from.shape); !s) return {errc::bad_store, "store"};
  const index_t most = from.most_tokens;
  if (most < 0 || most > INT32_MAX - from.tail_capacity()) return {errc::bad_store, "store"};
  if (status s = check_heads(parts, from.kv_heads()); !s) return s;
  return check_packable<E, W>(Op::shape_of(from.kv_heads(), from.d_k(), from.d_v(), p));
}

template <element E, int W, class Swizzle, element From, class... Parts>
status check_reroute_memory(const backend& b, const packed_store<E, W, Swizzle>& from,
                            const context<From, Parts...>& parts,
                            const packed_store<E, W, Swizzle>& to, const workspace& ws) {
  if (status s = check_target(b, to, "to"); !s) return s;
  if (status s = check_memory(b, ws.data, "ws"); !s) return s;
  const byte_range target(to.data, static_cast<std::size_t>(to.capacity_bytes));
  const byte_range scratch(ws.data, ws.bytes);
  if (meets(from, target) || overlaps(target, scratch) || parts_touch(parts, target))
    return {errc::overlapping_memory, "to"};
  if (meets(from, scratch) || parts_touch(parts, scratch)) return {errc::overlapping_memory, "ws"};
  return {};
}

/// Writes every head's rows.
template <element E, int W, class Swizzle>
status unpack_heads(const backend& b, const packed_store<E, W, Swizzle>& from,
                    const unpacked_rows<E>& to) {
  const packed_source<E, W, Swizzle> source(from);
  using count = count_tokens_kernel<E, W, Swizzle>;
  if (status s = launch<count>(b, {blocks_of(from.kv_heads(), count::threads)},
                               {source, from.most_tokens, to.lengths, b.fault});
      !s)
    return s;
  const index_t records = blocks_of(from.most_tokens, record_tokens);
  const index_t tail = blocks_of(from.tail_capacity(), record_tokens);
  return launch<unpack_kernel<E, W, Swizzle>>(b, {records + tail, from.kv_heads()},
                                              {source, records, to, b.fault});
}

/// Scores the heads with a scorer that joins them: each alone first, then together.
template <class Op, element E, int W, element From, class... Parts>
status score_joint_heads(const backend& b, const context<From, Parts...>& parts,
                         const typename Op::params& p, const reroute_memory<Op, E, W>& m) {
  using joint = rota::detail::joint_scorer_of<typename Op::token_selector>;
  const reroute_scratch<E, W>& s = m.rows;
  for (index_t h = 0; h < s.heads; ++h)
    if (status st = score_tokens(b, typename joint::type{}, joint::params_of(p.tokens.scorer),
                                 s.head_context(parts, h), s.scores(h).tokens, m.inner);
        !st)
      return st;
  if (status st = launch<join_heads_kernel>(
          b, {blocks_of(s.most, join_heads_kernel::threads), s.heads},
          {s.token_scores, s.rows.positions, s.rows.lengths, s.heads, s.most, s.joined, b.fault});
      !st)
    return st;
  for (index_t h = 0; h < s.heads; ++h)
    if (status st = Op::score(b, with_joined(s.head_context(parts, h), s.joined_of(h)), p,
                              s.scores(h), m.inner);
        !st)
      return st;
  return {};
}

/// Scores every head.
template <class Op, element E, int W, element From, class... Parts>
status score_heads(const backend& b, const context<From, Parts...>& parts,
                   const typename Op::params& p, const std::int32_t* next_position,
                   const reroute_memory<Op, E, W>& m) {
  const reroute_scratch<E, W>& s = m.rows;
  using fill = query_positions_kernel;
  if (status st = launch<fill>(b, {blocks_of(s.queries, fill::threads)},
                               {next_position, s.queries, s.query_positions, b.fault});
      !st)
    return st;
  if constexpr (rota::detail::joint_scorer_of<typename Op::token_selector>::exists) {
    return score_joint_heads<Op>(b, parts, p, m);
  } else {
    for (index_t h = 0; h < s.heads; ++h)
      if (status st = Op::score(b, s.head_context(parts, h), p, s.scores(h), m.inner); !st)
        return st;
    return {};
  }
}

/// Selects over all heads as over a span of layers.
template <class Op, element E, int W>
status select_heads(const backend& b, index_t sliding_window, const typename Op::params& p,
                    const reroute_memory<Op, E, W>& m) {
  const reroute_scratch<E, W>& rows = m.rows;
  const select_problem one = rows.problem(0, sliding_window, p);
  carver from(m.inner);
  const select_memory memory(from, {&one, 1}, rows.heads);
  const auto entry = [&](index_t h) {
    return entry_of(rows.problem(h, sliding_window, p), rows.scores(h), rows.selected(h));
  };
  if (status s = stage_layers(b, memory.table, entry); !s) return s;
  using rota::detail::across_heads;
  return select_staged<across_heads<typename Op::token_selector::budget>,
                       across_heads<typename Op::group_selector::budget>>(
      b, memory, p.tokens.budget, p.groups.budget);
}

/// What select() checks of its problems and budgets.
template <class Op, element E, int W>
status check_selecting(const backend& b, const typename Op::params& p,
                       const reroute_scratch<E, W>& rows) {
  using Tokens = typename Op::token_selector::budget;
  using Groups = typename Op::group_selector::budget;
  if (status s = check_budget<Tokens>(b, p.tokens.budget, "tokens.budget"); !s) return s;
  if (status s = check_budget<Groups>(b, p.groups.budget, "groups.budget"); !s) return s;
  const select_problem one = rows.problem(0, 0, p);
  return check_problems({&one, 1}, static_cast<std::size_t>(rows.heads));
}

}  // namespace detail

/// Scratch bytes that reroute() needs for a store of this handle, whatever it holds by now. 0 when
/// the arguments are not valid.
template <class Op, element E, int W, class Swizzle, element From, class... Parts>
std::size_t reroute_workspace_bytes(const backend& b, const packed_store<E, W, Swizzle>& from,
                                    const context<From, Parts...>& parts,
                                    const typename Op::params& p) {
  if (!detail::check_reroute<Op>(b, from, parts, p)) return 0;
  carver c;
  detail::reroute_memory<Op, E, W>(c, b, from, parts, p);
  return c.bytes();
}

/// Selects again among all that a packed store holds, sealed tokens and tail, and packs what is
/// kept into `to` (other memory: the caller swaps the two), as cpu::reroute() does: the same sets
/// for the same scores. Positions stay; groups that were dropped before stay dropped, their
/// stand-ins go into the new means. Each kv head is scored as a context of its own; scorers that
/// join the heads (tova) are then averaged over them by position. Of `parts` only the extra parts,
/// in device memory, and the sliding window are read.
///
/// The host reads no count: scratch memory and launches are sized by from.most_tokens and the
/// tail's capacity, for every head alike. to.most_tokens becomes what any selection could keep and
/// `to` could hold, so it grows from call to call up to that. An engine whose budget keeps less
/// sets it lower, to the most tokens that a head seals: a store that has more is refused when it is
/// routed again.
///
/// On the device: bad_store ("store": `from` holds more than its handle says, or no such store),
/// store_too_small and bad_position ("store": `to`), and what score() and select() report; `to` is
/// then untouched. From the host: bad_store, the errors of score(), select() and pack(),
/// overlapping_memory, wrong_memory, workspace_too_small. `from` is never changed.
template <class Op, element E, int W, class Swizzle, element From, class... Parts>
status reroute(const backend& b, const packed_store<E, W, Swizzle>& from,
               const context<From, Parts...>& parts, const typename Op::params& p,
               packed_store<E, W, Swizzle>& to, workspace ws) {
  if (status s = detail::check_reroute<Op>(b, from, parts, p); !s) return s;
  if (status s = detail::check_reroute_memory(b, from, parts, to, ws); !s) return s;
  carver c(ws);
  const detail::reroute_memory<Op, E, W> m(c, b, from, parts, p);
  if (status s = c.check(); !s) return s;
  if (status s = detail::check_selecting<Op>(b, p, m.rows); !s) return s;
  const packed_shape shape = Op::shape_of(m.rows.heads, m.rows.d_k, m.rows.d_v, p);
  codec_rows codec;
  if (status s = detail::find_codec(b, shape, parts, codec); !s) return s;

  if (status s = detail::unpack_heads(b, from, m.rows.rows); !s) return s;
  const auto* const next = &reinterpret_cast<const packed_header*>(from.data)->next_position;
  if (status s = detail::score_heads<Op>(b, parts, p, next, m); !s) return s;
  if (status s = detail::select_heads(b, parts.sliding_window, p, m); !s) return s;
  carver packing(m.inner);
  const detail::pack_scratch scratch(packing, b, shape, m.rows.most);
  if (status s = detail::pack_rows(b, shape, m.rows.source(), kept_rows(m.rows.kept), codec, next,
                                   to, scratch);
      !s)
    return s;
  to.shape = shape;
  to.most_tokens = std::min(m.rows.most, packed_tokens_bound(shape, to.capacity_bytes));
  return {};
}

}  // namespace rota::cuda

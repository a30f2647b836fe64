#pragma once

#include <algorithm>
#include <span>

#include <rota/attend/compress_scratch.hpp>
#include <rota/attend/seam.hpp>
#include <rota/fill/zero.hpp>
#include <rota/policy/context_memory.hpp>
#include <rota/policy/pick.hpp>
#include <rota/select/selectors.hpp>
#include <rota/store/layouts.hpp>
#include <rota/store/packed_size.hpp>
#include <rota/store/save.hpp>

namespace rota {

/// The attention operator: an order-free pack of policies, at most one of each kind.
///
///   using op = rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>,
///                              rota::groups<rota::value_norm, rota::keep_ratio>,
///                              rota::packed<rota::bf16, 16>, rota::mean_fill>;
///
/// Defaults: every token, every group, packed<bf16, 16>, zero_fill, projection<no_adapter>. Each
/// function takes the backend first (rota::cpu::backend), uses only caller-owned memory, never
/// allocates and never throws; each that needs scratch memory has a *_workspace_bytes twin that
/// runs the same code. On error nothing is written outside the workspace (and the scores and
/// selection of compress(), which lie in it).
template <class... Policies>
struct attention {
  static_assert(detail::require_pack<Policies...>());
  using token_selector = typename detail::pick<token_selector_tag, all_tokens, Policies...>::type;
  using group_selector = typename detail::pick<group_selector_tag, all_groups, Policies...>::type;
  using layout = typename detail::pick<store_tag, packed<bf16, 16>, Policies...>::type;
  using fill = typename detail::pick<fill_tag, zero_fill, Policies...>::type;
  using projection_form =
      typename detail::pick<projection_tag, projection<no_adapter>, Policies...>::type::form;
  using store_type = typename layout::store_type;
  using element_type = typename layout::element_type;

  static_assert(layout::selects || !(token_selector::selects || group_selector::selects),
                "rota: a dense or paged store keeps everything; a selector needs packed<E, W>");

  /// Elements of a value group; 0 for stores that have none.
  static constexpr int width = static_cast<int>(layout::width);

  /// Run-time values of the policies.
  struct params {
    protection protect;
    typename token_selector::params tokens;
    typename group_selector::params groups;
    typename layout::params store;
    bool drop_empty = false;  ///< whether a survivor that keeps no group is dropped as a whole
    layer_place place;        ///< of the layer, for budgets that ask (pyramid)
  };

  // --- project -------------------------------------------------------------------------------

  template <class Backend, element E, element A>
  static std::size_t project_workspace_bytes(const Backend& b,
                                             std::span<const projection_item<E, A>> batch) {
    return seam::projecting_bytes<projection_form>(b, batch);
  }

  /// Projects each item (Q, K and V of some sequences, say): y = W x + b and what its adapter adds.
  template <class Backend, element E, element A>
  static status project(const Backend& b, std::span<const projection_item<E, A>> batch,
                        workspace ws) {
    return seam::projecting<projection_form>(b, batch, ws);
  }

  // --- score ---------------------------------------------------------------------------------

  template <class Backend, class Context>
  static std::size_t score_workspace_bytes(const Backend& b, const Context& ctx, const params& p) {
    std::size_t bytes = 0;
    if constexpr (token_selector::selects)
      bytes = seam::token_score_bytes<Backend, typename token_selector::scorer>(b, p.tokens.scorer,
                                                                                ctx);
    if constexpr (group_selector::selects)
      bytes = std::max(bytes, seam::group_score_bytes<Backend, typename group_selector::scorer>(
                                  b, p.groups.scorer, ctx, width));
    return bytes;
  }

  /// Scores of one layer: out.tokens [kv_heads, n] and out.groups [kv_heads, n, S]; a level that
  /// does not select is not touched.
  template <class Backend, class Context>
  static status score(const Backend& b, const Context& ctx, const params& p,
                      const layer_scores& out, workspace ws) {
    if constexpr (token_selector::selects)
      if (status s = seam::token_scores<Backend, typename token_selector::scorer>(
              b, p.tokens.scorer, ctx, out.tokens, ws);
          !s)
        return s;
    if constexpr (group_selector::selects)
      if (status s = seam::group_scores<Backend, typename group_selector::scorer>(
              b, p.groups.scorer, ctx, width, out.groups, ws);
          !s)
        return s;
    return {};
  }

  // --- select --------------------------------------------------------------------------------

  /// What selection must know of a context, beside its scores.
  template <class Context>
  static select_problem problem_of(const Context& ctx, const params& p) {
    select_problem problem;
    problem.tokens = ctx.tokens();
    problem.kv_heads = ctx.kv_heads();
    problem.groups = static_cast<int>(ctx.d_v() / width);
    problem.protect = p.protect;
    problem.drop_empty = p.drop_empty;
    problem.available = ctx.available;
    problem.place = p.place;
    problem.sliding_window = ctx.sliding_window;
    problem.positions = ctx.positions;
    problem.device_tokens = ctx.device_tokens;
    return problem;
  }

  template <class Backend>
  static std::size_t normalize_workspace_bytes(const Backend& b, score_normalization kinds,
                                               std::span<const select_problem> layers) {
    return seam::normalizing_bytes(b, selecting(kinds), layers);
  }

  /// Makes the scores of a span of layers comparable, in place, between score() and select(): for
  /// budgets whose scope is the span. A level that does not select is not touched.
  template <class Backend>
  static status normalize(const Backend& b, score_normalization kinds,
                          std::span<const select_problem> layers,
                          std::span<const layer_scores> scores, workspace ws) {
    return seam::normalizing(b, selecting(kinds), layers, scores, ws);
  }

  template <class Backend>
  static std::size_t select_workspace_bytes(const Backend& b,
                                            std::span<const select_problem> layers) {
    return seam::selection_bytes<Backend, typename token_selector::budget,
                                 typename group_selector::budget>(b, layers);
  }

  /// Selects in a span of layers under one budget.
  template <class Backend>
  static status select(const Backend& b, std::span<const select_problem> layers, const params& p,
                       std::span<const layer_scores> scores, std::span<const selection> out,
                       workspace ws) {
    return seam::selections<Backend, typename token_selector::budget,
                            typename group_selector::budget>(b, layers, p.tokens.budget,
                                                             p.groups.budget, scores, out, ws);
  }

  // --- pack ----------------------------------------------------------------------------------

  /// Shape of this operator's packed store for one layer.
  static packed_shape shape_of(index_t kv_heads, index_t d_k, index_t d_v, const params& p) {
    static_assert(layout::selects,
                  "rota: only a packed<E, W> store is made from a selection; a dense or paged "
                  "store is filled by append, or by the engine itself");
    if constexpr (layout::selects)
      return layout::shape(kv_heads, d_k, d_v, p.store, fill::code, fill::has_means,
                           fill::code_rank);
    else
      return {};
  }
  template <class Context>
  static packed_shape shape_of(const Context& ctx, const params& p) {
    return shape_of(ctx.kv_heads(), ctx.d_k(), ctx.d_v(), p);
  }

  /// Exact bytes of the store that pack() makes of a selection.
  template <class Context>
  static index_t store_bytes(const Context& ctx, const selection& sel, const params& p) {
    return packed_bytes(shape_of(ctx, p), sel);
  }

  template <class Backend, class Context>
  static std::size_t pack_workspace_bytes(const Backend& b, const Context& ctx, const params& p) {
    return seam::packing_bytes(b, shape_of(ctx, p), ctx.tokens());
  }

  /// Packs a selection into store.data: store_bytes() of it, aligned to record_alignment.
  template <class Backend, class Context, class Store>
  static status pack(const Backend& b, const Context& ctx, const selection& sel, const params& p,
                     Store& store, workspace ws) {
    static_assert(require_own<Store>());
    if constexpr (detail::require_fill_parts<Context, fill>())
      return seam::packing(b, shape_of(ctx, p), ctx, sel, store, ws);
    else
      return {errc::bad_parameter, "ctx"};
  }

  // --- compress: the three above for one layer -----------------------------------------------

  /// Enough bytes for whatever compress() keeps of a context of this shape.
  template <class Context>
  static index_t max_store_bytes(const Context& ctx, const params& p) {
    return packed_bytes_bound(shape_of(ctx, p), ctx.tokens());
  }

  template <class Backend, class Context>
  static std::size_t compress_workspace_bytes(const Backend& b, const Context& ctx,
                                              const params& p) {
    carver c;
    compress_scratch(c, problem_of(ctx, p), inner_bytes(b, ctx, p));
    return c.bytes();
  }

  /// Scores, selects and packs one layer into store.data. store_too_small: what is kept needs more
  /// than store.capacity_bytes (max_store_bytes() is always enough).
  template <class Backend, class Context, class Store>
  static status compress(const Backend& b, const Context& ctx, const params& p, Store& store,
                         workspace ws) {
    static_assert(require_own<Store>());
    if (status s = seam::checking(b, ctx); !s) return s;
    if (status s = check_shape(shape_of(ctx, p)); !s) return s;
    const byte_range all(ws.data, ws.bytes);
    const byte_range target(store.data,
                            static_cast<std::size_t>(std::max<index_t>(0, store.capacity_bytes)));
    if (touches(ctx, all)) return {errc::overlapping_memory, "ws"};
    if (overlaps(target, all)) return {errc::overlapping_memory, "store"};
    const select_problem problem = problem_of(ctx, p);
    carver c(ws);
    const compress_scratch scratch(c, problem, inner_bytes(b, ctx, p));
    if (status s = c.check(); !s) return s;
    if (status s = score(b, ctx, p, scratch.scores, scratch.inner); !s) return s;
    if (status s =
            select(b, {&problem, 1}, p, {&scratch.scores, 1}, {&scratch.kept, 1}, scratch.inner);
        !s)
      return s;
    return pack(b, ctx, scratch.kept, p, store, scratch.inner);
  }

  // --- append and roll back ------------------------------------------------------------------

  /// Appends n tokens, k [n, kv_heads, d_k] and v [n, kv_heads, d_v], whole. tail_full: no room.
  template <class Backend, class From>
  static status append(const Backend& b, store_type& store, view<From, 3> k, view<From, 3> v) {
    using rows = view<const std::remove_const_t<From>, 3>;
    return seam::appending(b, store, rows(k), rows(v));
  }

  /// Takes the last n tokens back: of a packed store as far as its tail reaches (tail_too_short).
  template <class Backend>
  static status roll_back(const Backend& b, store_type& store, index_t n) {
    return seam::rolling_back(b, store, n);
  }

  // --- re-route: eviction while decoding -----------------------------------------------------

  /// Selects again among all that a packed store holds, tail included, and packs what is kept into
  /// `to`, which is other memory. Of `parts`, a context, only the extra parts are read, and its
  /// sliding_window; those that the scorers need must be there. Scores go by position: window
  /// queries without positions of their own have the last ones before from.next_position().
  template <class Backend, class Context>
  static std::size_t reroute_workspace_bytes(const Backend& b, const store_type& from,
                                             const Context& parts, const params& p) {
    static_assert(require_packed());
    return seam::rerouting_bytes<attention>(b, from, parts, p);
  }
  template <class Backend, class Context>
  static status reroute(const Backend& b, const store_type& from, const Context& parts,
                        const params& p, store_type& to, workspace ws) {
    static_assert(require_packed());
    return seam::rerouting<attention>(b, from, parts, p, to, ws);
  }

  /// The same under a cap: `to` weighs at most cap_bytes, index and (empty) tail included. Of the
  /// tokens that the budget would keep, the best survive that fit. budget_too_small ("cap_bytes"):
  /// not even the protected tokens fit. The workspace is enough for every store of this shape
  /// within the cap: asked once, it serves a whole decoding.
  template <class Backend, class Context>
  static std::size_t reroute_within_workspace_bytes(const Backend& b, const store_type& from,
                                                    const Context& parts, const params& p,
                                                    index_t cap_bytes) {
    static_assert(require_packed());
    if constexpr (detail::require_eviction<token_selector>())
      return seam::rerouting_within_bytes<attention>(b, from, parts, p, cap_bytes);
    else
      return 0;
  }
  template <class Backend, class Context>
  static status reroute_within(const Backend& b, const store_type& from, const Context& parts,
                               const params& p, index_t cap_bytes, store_type& to, workspace ws) {
    static_assert(require_packed());
    if constexpr (detail::require_eviction<token_selector>())
      return seam::rerouting_within<attention>(b, from, parts, p, cap_bytes, to, ws);
    else
      return {errc::bad_parameter, "p"};
  }

  // --- save and restore ----------------------------------------------------------------------

  /// A number for the policies and all their parameters, protection included: what a saved store
  /// was made by. The tail's capacity is not part of it.
  static std::uint64_t fingerprint(const params& p) {
    static_assert(require_packed());
    if constexpr (!detail::require_described<fill>()) return 0;
    rota::fingerprint f;
    f.add("attention").add(p.protect.sinks).add(p.protect.window).add(p.drop_empty);
    token_selector::describe(p.tokens, f);
    group_selector::describe(p.groups, f);
    layout::describe(p.store, f);
    fill::describe({}, f);
    return f.value();
  }

  /// Saves a store as the first saved_bytes(store) of `memory` (store/save.hpp): checksummed, with
  /// the fingerprint of `p` and the engine's number for the model. Host memory.
  static status save(const store_type& store, const params& p, std::uint64_t model,
                     std::span<std::byte> memory) {
    static_assert(require_packed());
    return rota::save(store, {fingerprint(p), model}, memory);
  }

  /// Makes the store again in to.data, of restored_bytes<store_type>(saved, tail_capacity, bytes)
  /// with the tail_capacity of p.store, if it was saved under the same `p` and `model`. Everything
  /// is checked before anything is written.
  static status restore(std::span<const std::byte> saved, const params& p, std::uint64_t model,
                        store_type& to) {
    static_assert(require_packed());
    return rota::restore(saved, {fingerprint(p), model}, p.store.tail_capacity, to);
  }

  // --- attend --------------------------------------------------------------------------------

  template <class Backend>
  static std::size_t attend_workspace_bytes(const Backend& b,
                                            std::span<const attend_item<store_type>> batch,
                                            const attend_params& p) {
    return seam::attending_bytes(b, batch, p);
  }

  template <class Backend, element Io>
  static std::size_t attend_workspace_bytes(const Backend& b,
                                            std::span<const attend_item<store_type, Io>> batch,
                                            const attend_params& p) {
    return seam::attending_bytes(b, batch, p);
  }

  /// Attention of a ragged batch, each sequence over its own store.
  template <class Backend>
  static status attend(const Backend& b, std::span<const attend_item<store_type>> batch,
                       const attend_params& p, workspace ws) {
    return seam::attending(b, batch, p, ws);
  }
  template <class Backend, element Io>
  static status attend(const Backend& b, std::span<const attend_item<store_type, Io>> batch,
                       const attend_params& p, workspace ws) {
    return seam::attending(b, batch, p, ws);
  }

  /// The same for one sequence.
  template <class Backend, element Io = float>
  static status attend(const Backend& b, const attend_item<store_type, Io>& item,
                       const attend_params& p, workspace ws) {
    return seam::attending(b, std::span<const attend_item<store_type, Io>>(&item, 1), p, ws);
  }

 private:
  static consteval bool require_packed() {
    static_assert(
        layout::selects,
        "rota: re-routing, saving and restoring are of packed<E, W> stores; a dense or paged "
        "store is the engine's own memory");
    return true;
  }
  template <class Store>
  static consteval bool require_own() {
    static_assert(
        std::is_same_v<Store, store_type>,
        "rota: compress and pack write the operator's own op::store_type, packed_store<E, W> "
        "for packed<E, W>; a dense or paged store is filled by append");
    return true;
  }

  /// The kinds of the levels that select.
  static score_normalization selecting(score_normalization kinds) {
    if (!token_selector::selects) kinds.tokens = layer_normalization::none;
    if (!group_selector::selects) kinds.groups = layer_normalization::none;
    return kinds;
  }

  /// The largest workspace of the three steps of compress().
  template <class Backend, class Context>
  static std::size_t inner_bytes(const Backend& b, const Context& ctx, const params& p) {
    const select_problem problem = problem_of(ctx, p);
    return std::max({score_workspace_bytes(b, ctx, p), select_workspace_bytes(b, {&problem, 1}),
                     pack_workspace_bytes(b, ctx, p)});
  }
};

}  // namespace rota

#pragma once

#include <rota/cpu/score/attention_mass.hpp>
#include <rota/cpu/score/attention_tokens.hpp>
#include <rota/cpu/score/critical.hpp>
#include <rota/cpu/score/expected_attention.hpp>
#include <rota/cpu/score/lag_kv.hpp>
#include <rota/cpu/score/pointwise.hpp>
#include <rota/cpu/score/predictor.hpp>
#include <rota/cpu/score/reduced.hpp>
#include <rota/cpu/score/role_router.hpp>
#include <rota/cpu/score/router.hpp>
#include <rota/cpu/score/wo_norm.hpp>
#include <rota/policy/diagnostics.hpp>

namespace rota::cpu {

namespace detail {

/// The scratch memory of a pointwise or reduced token scorer.
template <class Scorer, element E, class... Parts>
auto carve_tokens(carver& from, const backend& b, const typename Scorer::params& p,
                  const context<E, Parts...>& c) {
  if constexpr (pointwise_token_scorer<Scorer>)
    return row_buffers::carve(from, b, c);
  else
    return reduced_memory::carve<Scorer>(from, b, p, c);
}

}  // namespace detail

/// Bytes that score_tokens() needs for this call. 0 when the context is not valid.
template <class Scorer, element E, class... Parts>
std::size_t score_tokens_workspace_bytes(const backend& b, Scorer s,
                                         const typename Scorer::params& p,
                                         const context<E, Parts...>& c) {
  static_assert(rota::detail::require_token_scorer<Scorer>());
  if constexpr (rota::detail::require_parts<context<E, Parts...>, Scorer>()) {
    if (!check_context(c)) return 0;
    if constexpr (whole_head_scorer<Scorer>) {
      return score_whole_tokens_workspace_bytes(b, s, p, c);
    } else {
      carver count;
      detail::carve_tokens<Scorer>(count, b, p, c);
      return count.bytes();
    }
  }
  return 0;
}

/// Scores every (kv head, token) of a context: out [kv_heads, tokens]. Works with any token
/// scorer: pointwise and reduced ones as they are, whole-head ones through an overload of
/// score_whole_tokens() and its workspace twin that argument-dependent lookup finds.
/// NaN and infinities in the context are legal and give what the formula gives. An empty context
/// writes nothing. Errors: bad_shape, bad_stride, null_view, bad_position, overlapping_memory,
/// workspace_too_small and what the scorer's parameters may add; `out` is untouched then.
template <class Scorer, element E, class... Parts>
status score_tokens(const backend& b, Scorer s, const typename Scorer::params& p,
                    const context<E, Parts...>& c, view<float, 2> out, workspace ws) {
  static_assert(rota::detail::require_token_scorer<Scorer>());
  if constexpr (rota::detail::require_parts<context<E, Parts...>, Scorer>()) {
    if (status st = check_backend(b); !st) return st;
    if (status st = detail::check_token_scores(c, out, ws); !st) return st;
    if constexpr (whole_head_scorer<Scorer>) {
      return score_whole_tokens(b, s, p, c, out, ws);
    } else {
      carver from(ws);
      const auto memory = detail::carve_tokens<Scorer>(from, b, p, c);
      if (status st = from.check(); !st) return st;
      if constexpr (pointwise_token_scorer<Scorer>)
        detail::score_pointwise_tokens<Scorer>(b, p, c, out, memory);
      else
        detail::score_reduced_tokens<Scorer>(b, p, c, out, memory);
    }
  }
  return {};
}

/// Bytes that score_groups() needs for this call. 0 when the context is not valid.
template <class Scorer, element E, class... Parts>
std::size_t score_groups_workspace_bytes(const backend& b, Scorer s,
                                         const typename Scorer::params& p,
                                         const context<E, Parts...>& c, int width) {
  static_assert(rota::detail::require_group_scorer<Scorer>());
  if constexpr (rota::detail::require_parts<context<E, Parts...>, Scorer>()) {
    if (!check_context(c)) return 0;
    if constexpr (whole_head_scorer<Scorer>) {
      return score_whole_groups_workspace_bytes(b, s, p, c, width);
    } else {
      carver count;
      detail::row_buffers::carve(count, b, c);
      return count.bytes();
    }
  }
  return 0;
}

/// Scores every (kv head, token, value group) of a context: out [kv_heads, tokens, d_v / width].
/// As score_tokens(); an illegal width is bad_group_width. Groups that are not available are
/// scored like the others: selection leaves them out.
template <class Scorer, element E, class... Parts>
status score_groups(const backend& b, Scorer s, const typename Scorer::params& p,
                    const context<E, Parts...>& c, int width, view<float, 3> out, workspace ws) {
  static_assert(rota::detail::require_group_scorer<Scorer>());
  if constexpr (rota::detail::require_parts<context<E, Parts...>, Scorer>()) {
    if (status st = check_backend(b); !st) return st;
    if (status st = detail::check_group_scores(c, width, out, ws); !st) return st;
    if constexpr (whole_head_scorer<Scorer>) {
      return score_whole_groups(b, s, p, c, width, out, ws);
    } else {
      carver from(ws);
      const detail::row_buffers rows = detail::row_buffers::carve(from, b, c);
      if (status st = from.check(); !st) return st;
      detail::score_pointwise_groups<Scorer>(b, p, c, width, out, rows);
    }
  }
  return {};
}

}  // namespace rota::cpu

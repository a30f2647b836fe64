#pragma once

#include <rota/core/workspace.hpp>
#include <rota/cuda/context.cuh>
#include <rota/cuda/launch.cuh>
#include <rota/cuda/score/attention_mass.cuh>
#include <rota/cuda/score/attention_tokens.cuh>
#include <rota/cuda/score/critical.cuh>
#include <rota/cuda/score/expected_attention.cuh>
#include <rota/cuda/score/lag_kv.cuh>
#include <rota/cuda/score/pointwise.cuh>
#include <rota/cuda/score/predictor.cuh>
#include <rota/cuda/score/reduced.cuh>
#include <rota/cuda/score/role_router.cuh>
#include <rota/cuda/score/router.cuh>
#include <rota/cuda/score/wo_norm.cuh>
#include <rota/policy/context_memory.hpp>
#include <rota/policy/diagnostics.hpp>

namespace rota::cuda {

namespace detail {

/// Whether this backend has a kernel for the scorer.
template <class Scorer, class Context>
consteval bool has_kernel() {
  using params = typename Scorer::params;
  if constexpr (!whole_head_scorer<Scorer>)
    return true;
  else if constexpr (token_scorer<Scorer>)
    return requires(const backend& b, const params& p, const Context& c) {
      score_whole_tokens_workspace_bytes(b, Scorer{}, p, c);
    };
  else
    return requires(const backend& b, const params& p, const Context& c) {
      score_whole_groups_workspace_bytes(b, Scorer{}, p, c, 1);
    };
}

template <class Scorer, class Context>
consteval bool require_kernel() {
  static_assert(has_kernel<Scorer, Context>(),
                "rota: cuda has no kernel for this scorer: a whole-head scorer needs overloads of "
                "score_whole_tokens() or score_whole_groups() for cuda::backend, and of their "
                "workspace twins");
  return has_kernel<Scorer, Context>();
}

/// Checks an output [kv_heads, tokens, ...] against the context and the scratch memory.
template <class Context, int Rank>
status check_scores(const backend& b, const Context& c, const view<float, Rank>& out,
                    const workspace& ws) {
  if (status s = check_context_of(b, c); !s) return s;
  if (status s = check_output(out, "out"); !s) return s;
  if (out.extent[0] != c.kv_heads() || out.extent[1] != c.tokens()) return {errc::bad_shape, "out"};
  if (status s = check_rows(b, out, alignof(float), "out"); !s) return s;
  if (status s = check_memory(b, ws.data, "ws"); !s) return s;
  const byte_range scratch(ws.data, ws.bytes);
  if (touches(c, range_of(out))) return {errc::overlapping_memory, "out"};
  if (touches(c, scratch) || overlaps(scratch, range_of(out)))
    return {errc::overlapping_memory, "ws"};
  return {};
}

/// Floats of a head's sums, for every block of its tokens.
template <class Scorer, class Context>
float* carve_sums(carver& from, const typename Scorer::params& p, const Context& c,
                  index_t& width) {
  width = 0;
  if constexpr (reduced_token_scorer<Scorer>) {
    width = Scorer::sums(p, static_cast<int>(c.d_k()), static_cast<int>(c.d_v()));
    if (width < 0) width = 0;
  }
  return from.take<float>(c.kv_heads() * blocks_of(c.tokens(), score_tokens_a_block) * width);
}

template <class Scorer, element E, class... Parts>
status score_reduced(const backend& b, const typename Scorer::params& p,
                     const context<E, Parts...>& c, const view<float, 2>& out, float* sums,
                     index_t width) {
  const index_t blocks = blocks_of(c.tokens(), score_tokens_a_block);
  const reduced_arguments<Scorer, E> a{p,
                                       pack_source<E>(c),
                                       static_cast<int>(c.d_k()),
                                       static_cast<int>(c.d_v()),
                                       c.kv_heads(),
                                       static_cast<int>(width),
                                       blocks,
                                       sums,
                                       out.data,
                                       out.stride[0],
                                       b.fault};
  using reduce = reduce_blocks_kernel<Scorer, E>;
  using score = score_reduced_kernel<Scorer, E>;
  const grid_shape grid{blocks, c.kv_heads()};
  if (status s = launch<reduce>(b, grid, a, reduce::shared_bytes(c.d_k(), c.d_v(), width)); !s)
    return s;
  using finish = finish_sums_kernel<Scorer, E>;
  if (blocks > 0)
    if (status s = launch<finish>(b, {c.kv_heads()}, a, finish::shared_bytes); !s) return s;
  return launch<score>(b, grid, a, score::block::shared_bytes(c.d_k(), c.d_v()));
}

}  // namespace detail

/// Bytes that score_tokens() needs for this call.
template <class Scorer, element E, class... Parts>
std::size_t score_tokens_workspace_bytes([[maybe_unused]] const backend& b, Scorer scorer,
                                         const typename Scorer::params& p,
                                         const context<E, Parts...>& c) {
  static_assert(rota::detail::require_token_scorer<Scorer>());
  using context_type = context<E, Parts...>;
  if constexpr (rota::detail::require_parts<context_type, Scorer>() &&
                detail::require_kernel<Scorer, context_type>()) {
    if constexpr (whole_head_scorer<Scorer>) {
      return score_whole_tokens_workspace_bytes(b, scorer, p, c);
    } else {
      carver count;
      index_t width = 0;
      detail::carve_sums<Scorer>(count, p, c, width);
      return count.bytes();
    }
  }
  return 0;
}

/// Scores every (kv head, token) of a context in device memory: out [kv_heads, tokens]. Any
/// pointwise or reduced scorer whose functions are ROTA_HD; whole-head ones through an overload of
/// score_whole_tokens() and its workspace twin that argument-dependent lookup finds.
/// Results may differ from other backends' in the last places. Behind the length that lies in
/// device memory nothing is written.
///
/// On the device: bad_count ("length"). From the host: the errors of the views, wrong_memory,
/// bad_alignment (keys and values: rows on 16 bytes), overlapping_memory, workspace_too_small,
/// device_failure ("shared memory": a row, or the scorer's sums, are too long).
template <class Scorer, element E, class... Parts>
status score_tokens(const backend& b, Scorer scorer, const typename Scorer::params& p,
                    const context<E, Parts...>& c, view<float, 2> out, workspace ws) {
  static_assert(rota::detail::require_token_scorer<Scorer>());
  using context_type = context<E, Parts...>;
  if constexpr (rota::detail::require_parts<context_type, Scorer>() &&
                detail::require_kernel<Scorer, context_type>()) {
    if (status s = check_backend(b); !s) return s;
    if (status s = detail::check_scores(b, c, out, ws); !s) return s;
    if constexpr (whole_head_scorer<Scorer>) {
      return score_whole_tokens(b, scorer, p, c, out, ws);
    } else if constexpr (reduced_token_scorer<Scorer>) {
      carver from(ws);
      index_t width = 0;
      float* const sums = detail::carve_sums<Scorer>(from, p, c, width);
      if (status s = from.check(); !s) return s;
      return detail::score_reduced<Scorer>(b, p, c, out, sums, width);
    } else {
      using kernel = score_tokens_kernel<Scorer, E>;
      return launch<kernel>(
          b, {blocks_of(c.tokens(), score_tokens_a_block), c.kv_heads()},
          {p, pack_source<E>(c), static_cast<int>(c.d_k()), static_cast<int>(c.d_v()), c.kv_heads(),
           out.data, out.stride[0], b.fault},
          kernel::block::shared_bytes(c.d_k(), c.d_v()));
    }
  }
  return {};
}

/// Bytes that score_groups() needs for this call: none for pointwise scorers.
template <class Scorer, element E, class... Parts>
std::size_t score_groups_workspace_bytes([[maybe_unused]] const backend& b, Scorer scorer,
                                         [[maybe_unused]] const typename Scorer::params& p,
                                         [[maybe_unused]] const context<E, Parts...>& c,
                                         [[maybe_unused]] int width) {
  static_assert(rota::detail::require_group_scorer<Scorer>());
  using context_type = context<E, Parts...>;
  if constexpr (rota::detail::require_parts<context_type, Scorer>() &&
                detail::require_kernel<Scorer, context_type>())
    if constexpr (whole_head_scorer<Scorer>)
      return score_whole_groups_workspace_bytes(b, scorer, p, c, width);
  return 0;
}

/// Scores every (kv head, token, value group): out [kv_heads, tokens, d_v / width]. As
/// score_tokens(); an illegal width is bad_group_width.
template <class Scorer, element E, class... Parts>
status score_groups(const backend& b, Scorer scorer, const typename Scorer::params& p,
                    const context<E, Parts...>& c, int width, view<float, 3> out, workspace ws) {
  static_assert(rota::detail::require_group_scorer<Scorer>());
  using context_type = context<E, Parts...>;
  if constexpr (rota::detail::require_parts<context_type, Scorer>() &&
                detail::require_kernel<Scorer, context_type>()) {
    if (status s = check_backend(b); !s) return s;
    if (!legal_group_width(c.d_v(), width, sizeof(E))) return {errc::bad_group_width, "width"};
    if (status s = detail::check_scores(b, c, out, ws); !s) return s;
    if (out.extent[2] != c.d_v() / width) return {errc::bad_shape, "out"};
    if constexpr (whole_head_scorer<Scorer>) {
      return score_whole_groups(b, scorer, p, c, width, out, ws);
    } else {
      using kernel = score_groups_kernel<Scorer, E>;
      return launch<kernel>(
          b, {blocks_of(c.tokens(), score_tokens_a_block), c.kv_heads()},
          {p, pack_source<E>(c), static_cast<int>(c.d_k()), static_cast<int>(c.d_v()), width,
           c.kv_heads(), out.data, out.stride[0], out.stride[1], b.fault},
          kernel::block::shared_bytes(c.d_k(), c.d_v()));
    }
  }
  return {};
}

}  // namespace rota::cuda

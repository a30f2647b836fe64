#pragma once

#include <cstddef>
#include <span>

#include <rota/attend/problem.hpp>
#include <rota/core/workspace.hpp>
#include <rota/lora/projection.hpp>
#include <rota/select/normalization.hpp>
#include <rota/select/selection.hpp>
#include <rota/store/packed.hpp>

// What a backend implements, in one place: the operator calls these, and they call the functions
// of the plain names unqualified, so that argument-dependent lookup finds them beside the backend
// (rota::cpu, later rota::cuda). The detour is needed because the operator's own members carry
// the plain names, which would hide the backend's.

namespace rota::seam {

/// Whether the host may read what the backend's operators write.
template <class B>
concept host_backend = !requires {
  requires B::in_device_memory;
};

/// Whatever the backend can check of a context without waiting for it.
template <class B, class Context>
status checking(const B& b, const Context& ctx) {
  return check_context_of(b, ctx);
}

template <class B, class Scorer, class Context>
std::size_t token_score_bytes(const B& b, const typename Scorer::params& p, const Context& ctx) {
  return score_tokens_workspace_bytes(b, Scorer{}, p, ctx);
}
template <class B, class Scorer, class Context>
status token_scores(const B& b, const typename Scorer::params& p, const Context& ctx,
                    view<float, 2> out, workspace ws) {
  return score_tokens(b, Scorer{}, p, ctx, out, ws);
}

template <class B, class Scorer, class Context>
std::size_t group_score_bytes(const B& b, const typename Scorer::params& p, const Context& ctx,
                              int width) {
  return score_groups_workspace_bytes(b, Scorer{}, p, ctx, width);
}
template <class B, class Scorer, class Context>
status group_scores(const B& b, const typename Scorer::params& p, const Context& ctx, int width,
                    view<float, 3> out, workspace ws) {
  return score_groups(b, Scorer{}, p, ctx, width, out, ws);
}

template <class B>
std::size_t normalizing_bytes(const B& b, const score_normalization& kinds,
                              std::span<const select_problem> layers) {
  return normalize_scores_workspace_bytes(b, kinds, layers, static_cast<index_t>(layers.size()));
}
template <class B>
status normalizing(const B& b, const score_normalization& kinds,
                   std::span<const select_problem> layers, std::span<const layer_scores> scores,
                   workspace ws) {
  return normalize_scores(b, kinds, layers, scores, ws);
}

template <class B, class Tokens, class Groups>
std::size_t selection_bytes(const B& b, std::span<const select_problem> layers) {
  return select_workspace_bytes<Tokens, Groups>(b, layers, static_cast<index_t>(layers.size()));
}
template <class B, class Tokens, class Groups>
status selections(const B& b, std::span<const select_problem> layers,
                  const typename Tokens::params& tokens, const typename Groups::params& groups,
                  std::span<const layer_scores> scores, std::span<const selection> out,
                  workspace ws) {
  return select<Tokens, Groups>(b, layers, tokens, groups, scores, out, ws);
}

template <class B>
std::size_t packing_bytes(const B& b, const packed_shape& shape, index_t most_tokens) {
  return pack_workspace_bytes(b, shape, most_tokens);
}
template <class B, class Context, class Store>
status packing(const B& b, const packed_shape& shape, const Context& ctx, const selection& sel,
               Store& store, workspace ws) {
  return pack(b, shape, ctx, sel, store, ws);
}

template <class B, class Store, class From>
status appending(const B& b, Store& store, view<const From, 3> k, view<const From, 3> v) {
  return append(b, store, k, v);
}

template <class B, class Store>
status rolling_back(const B& b, Store& store, index_t n) {
  return roll_back(b, store, n);
}

template <class Op, class B, class Store, class Context>
std::size_t rerouting_bytes(const B& b, const Store& from, const Context& parts,
                            const typename Op::params& p) {
  return reroute_workspace_bytes<Op>(b, from, parts, p);
}
template <class Op, class B, class Store, class Context>
status rerouting(const B& b, const Store& from, const Context& parts, const typename Op::params& p,
                 Store& to, workspace ws) {
  return reroute<Op>(b, from, parts, p, to, ws);
}

template <class Op, class B, class Store, class Context>
std::size_t rerouting_within_bytes(const B& b, const Store& from, const Context& parts,
                                   const typename Op::params& p, index_t cap_bytes) {
  return reroute_within_workspace_bytes<Op>(b, from, parts, p, cap_bytes);
}
template <class Op, class B, class Store, class Context>
status rerouting_within(const B& b, const Store& from, const Context& parts,
                        const typename Op::params& p, index_t cap_bytes, Store& to, workspace ws) {
  return reroute_within<Op>(b, from, parts, p, cap_bytes, to, ws);
}

template <class Form, class B, class E, class A>
std::size_t projecting_bytes(const B& b, std::span<const projection_item<E, A>> batch) {
  return project_workspace_bytes<Form>(b, batch);
}
template <class Form, class B, class E, class A>
status projecting(const B& b, std::span<const projection_item<E, A>> batch, workspace ws) {
  return project<Form>(b, batch, ws);
}

template <class B, class Store, class Io>
std::size_t attending_bytes(const B& b, std::span<const attend_item<Store, Io>> batch,
                            const attend_params& p) {
  return attend_workspace_bytes(b, batch, p);
}
template <class B, class Store, class Io>
status attending(const B& b, std::span<const attend_item<Store, Io>> batch, const attend_params& p,
                 workspace ws) {
  return attend(b, batch, p, ws);
}

}  // namespace rota::seam

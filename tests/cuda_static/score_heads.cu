#include <rota/cuda/score.cuh>

// Scorers that need a whole head: products on the matrix unit.

using rota::bf16;
using rota::f16;

template <class Scorer, class Context>
rota::status tokens(const rota::cuda::backend& b, const typename Scorer::params& p,
                    const Context& c, const rota::view<float, 2>& out, rota::workspace ws) {
  return rota::cuda::score_tokens(b, Scorer{}, p, c, out, ws);
}
template <class Scorer, class Context>
rota::status groups(const rota::cuda::backend& b, const typename Scorer::params& p,
                    const Context& c, int width, const rota::view<float, 3>& out,
                    rota::workspace ws) {
  return rota::cuda::score_groups(b, Scorer{}, p, c, width, out, ws);
}

template <class E>
using windowed =
    rota::context<E, rota::window_queries, rota::query_moments, rota::rope_frequencies>;
using routed = rota::context<bf16, rota::layer_states, rota::router_weights, rota::role_weights>;
using predicted = rota::context<bf16, rota::split_states, rota::linear_relevance,
                                rota::query_states, rota::bilinear_relevance>;

#define INSTANTIATE_TOKENS(SCORER, CONTEXT)                                                        \
  template rota::status tokens<SCORER, CONTEXT>(const rota::cuda::backend&, const SCORER::params&, \
                                                const CONTEXT&, const rota::view<float, 2>&,       \
                                                rota::workspace)

#include <rota/cuda/score.cuh>

// Scorers that need a whole head: products on the matrix unit.

using rota::bf16;
using rota::f16;

template <class E>
using windowed =
    rota::context<E, rota::window_queries, rota::query_moments, rota::rope_frequencies>;
using routed = rota::context<bf16, rota::layer_states, rota::router_weights, rota::role_weights>;
using predicted = rota::context<bf16, rota::split_states, rota::linear_relevance,
                                rota::query_states, rota::bilinear_relevance>;

template <class Scorer, class Context>
rota::status tokens(const rota::cuda::backend& b, const Context& c, rota::view<float, 2> out,
                    rota::workspace ws) {
  return rota::cuda::score_tokens(b, Scorer{}, {}, c, out, ws);
}
template <class Scorer, class Context>
rota::status groups(const rota::cuda::backend& b, const Context& c, rota::view<float, 3> out,
                    rota::workspace ws) {
  return rota::cuda::score_groups(b, Scorer{}, {}, c, 16, out, ws);
}

template <class Scorer, class Context>
constexpr auto keep_tokens = &tokens<Scorer, Context>;
template <class Scorer, class Context>
constexpr auto keep_groups = &groups<Scorer, Context>;
extern const void* const scorers[];
const void* const scorers[] = {
    reinterpret_cast<const void*>(keep_tokens<rota::expected_attention, windowed<bf16>>),
    reinterpret_cast<const void*>(keep_tokens<rota::expected_attention, windowed<f16>>),
    reinterpret_cast<const void*>(keep_tokens<rota::snapkv, windowed<bf16>>),
    reinterpret_cast<const void*>(keep_tokens<rota::tova, windowed<f16>>),
    reinterpret_cast<const void*>(keep_tokens<rota::observed_attention, windowed<float>>),
    reinterpret_cast<const void*>(keep_groups<rota::attention_mass, windowed<bf16>>),
    reinterpret_cast<const void*>(keep_groups<rota::router<>, routed>),
    reinterpret_cast<const void*>(keep_groups<rota::role_router<8>, routed>),
    reinterpret_cast<const void*>(keep_groups<rota::predictor<>, predicted>),
    reinterpret_cast<const void*>(keep_tokens<rota::token_predictor<>, predicted>)};

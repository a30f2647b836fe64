#include <rota/cuda/score.cuh>
#include <rota/score/key_norm.hpp>

// LagKV, and the scorers that look behind the output projection.

using rota::bf16;
using rota::f16;

template <class E>
using projected =
    rota::context<E, rota::window_queries, rota::output_projection, rota::output_gram>;

template <class Scorer, class E>
rota::status tokens(const rota::cuda::backend& b, const projected<E>& c, rota::view<float, 2> out,
                    rota::workspace ws) {
  return rota::cuda::score_tokens(b, Scorer{}, {}, c, out, ws);
}
template <class Scorer, class E>
rota::status groups(const rota::cuda::backend& b, const projected<E>& c, rota::view<float, 3> out,
                    rota::workspace ws) {
  return rota::cuda::score_groups(b, Scorer{}, {}, c, 16, out, ws);
}

template <class Scorer, class E>
constexpr auto keep_tokens = &tokens<Scorer, E>;
template <class Scorer, class E>
constexpr auto keep_groups = &groups<Scorer, E>;
extern const void* const scorers[];
const void* const scorers[] = {
    reinterpret_cast<const void*>(keep_tokens<rota::lag_kv, bf16>),
    reinterpret_cast<const void*>(keep_tokens<rota::lag_kv, f16>),
    reinterpret_cast<const void*>(keep_tokens<rota::critical<rota::key_norm>, bf16>),
    reinterpret_cast<const void*>(keep_tokens<rota::critical<rota::snapkv>, f16>),
    reinterpret_cast<const void*>(keep_tokens<rota::critical<rota::tova>, float>),
    reinterpret_cast<const void*>(keep_groups<rota::wo_norm, bf16>),
    reinterpret_cast<const void*>(keep_groups<rota::wo_norm, float>),
    reinterpret_cast<const void*>(keep_groups<rota::attention_mass_wo, bf16>),
    reinterpret_cast<const void*>(keep_groups<rota::attention_mass_wo, f16>)};

#include <rota/attend/attention.hpp>
#include <rota/budget/keep_ratio.hpp>
#include <rota/cuda/normalize.cuh>
#include <rota/cuda/reroute.cuh>
#include <rota/fill/low_rank.hpp>
#include <rota/fill/mean.hpp>
#include <rota/score/key_norm.hpp>
#include <rota/score/value_norm.hpp>

// Normalization of both levels; re-routing of stores of two elements and fills.

using rota::bf16;
using rota::f16;

rota::status normalize(const rota::cuda::backend& b, std::span<const rota::select_problem> p,
                       std::span<const rota::layer_scores> s, rota::workspace ws) {
  return rota::cuda::normalize_scores(b, {rota::layer_normalization::rank, {}}, p, s, ws);
}

template <class E, class Fill>
using op = rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>,
                           rota::groups<rota::value_norm, rota::keep_ratio>,
                           rota::cuda::packed<E, 16>, Fill>;
using means = op<bf16, rota::mean_fill>;
using codes = op<f16, rota::low_rank_fill<16>>;

rota::status reroute(const rota::cuda::backend& b, const means::store_type& from,
                     means::store_type& to, rota::workspace ws) {
  return means::reroute(b, from, rota::context<bf16>{}, {}, to, ws);
}
rota::status reroute(const rota::cuda::backend& b, const codes::store_type& from,
                     const rota::context<f16, rota::fill_codec>& parts, codes::store_type& to,
                     rota::workspace ws) {
  return codes::reroute(b, from, parts, {}, to, ws);
}

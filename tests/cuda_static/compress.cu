#include <rota/attend/attention.hpp>
#include <rota/budget/adaptive_span.hpp>
#include <rota/budget/entropy_span.hpp>
#include <rota/budget/fixed_k.hpp>
#include <rota/budget/global_top_m.hpp>
#include <rota/budget/head_adaptive.hpp>
#include <rota/budget/k_by_type.hpp>
#include <rota/budget/keep_ratio.hpp>
#include <rota/budget/pyramid.hpp>
#include <rota/cuda/cuda.cuh>
#include <rota/fill/low_rank.hpp>
#include <rota/fill/mean.hpp>
#include <rota/score/key_diff.hpp>
#include <rota/score/key_norm.hpp>
#include <rota/score/value_norm.hpp>

// Scoring, selection by each stock budget, packing with each fill, appending.

using rota::bf16;

template <class Tokens, class Groups>
rota::status select(const rota::cuda::backend& b, std::span<const rota::select_problem> p,
                    std::span<const rota::layer_scores> s, std::span<const rota::selection> o,
                    rota::workspace ws) {
  return rota::cuda::select<Tokens, Groups>(b, p, {}, {}, s, o, ws);
}

template <class Tokens, class Groups>
constexpr auto keep = &select<Tokens, Groups>;
extern const void* const selections[];
const void* const selections[] = {
    reinterpret_cast<const void*>(keep<rota::head_adaptive, rota::fixed_k>),
    reinterpret_cast<const void*>(keep<rota::pyramid, rota::k_by_type<3>>),
    reinterpret_cast<const void*>(keep<rota::adaptive_span, rota::entropy_span>),
    reinterpret_cast<const void*>(keep<rota::keep_all, rota::global_top_m>)};

template <class Scorer, class Fill>
using op = rota::attention<rota::tokens<Scorer, rota::keep_ratio>,
                           rota::groups<rota::value_norm, rota::keep_ratio>,
                           rota::cuda::packed<bf16, 16>, Fill>;
using means = op<rota::key_norm, rota::mean_fill>;
using codes = op<rota::key_diff, rota::low_rank_fill<16>>;

rota::status compress(const rota::cuda::backend& b, const rota::context<bf16>& c,
                      means::store_type& store, rota::workspace ws) {
  return means::compress(b, c, {}, store, ws);
}
rota::status compress(const rota::cuda::backend& b, const rota::context<bf16, rota::fill_codec>& c,
                      codes::store_type& store, rota::workspace ws) {
  return codes::compress(b, c, {}, store, ws);
}

using rows = rota::view<const bf16, 3>;
rota::status append(const rota::cuda::backend& b, means::store_type& packed,
                    rota::dense_store<bf16>& dense, rota::paged_store<bf16>& paged, rows k) {
  if (rota::status s = rota::cuda::append(b, packed, k, k); !s) return s;
  if (rota::status s = rota::cuda::append(b, dense, k, k); !s) return s;
  return rota::cuda::append(b, paged, k, k);
}

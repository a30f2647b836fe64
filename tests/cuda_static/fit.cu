#include <rota/attend/attention.hpp>
#include <rota/budget/adaptive_span.hpp>
#include <rota/budget/keep_ratio.hpp>
#include <rota/cuda/cuda.cuh>
#include <rota/fill/mean.hpp>
#include <rota/score/key_norm.hpp>
#include <rota/score/value_norm.hpp>

// A budget in bytes, searched on the device; a threshold in device memory.

using op = rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>,
                           rota::groups<rota::value_norm, rota::keep_ratio>,
                           rota::cuda::packed<rota::bf16, 16>, rota::mean_fill>;

struct set_tokens {
  ROTA_HD void operator()(op::params& p, double ratio) const { p.tokens.budget.ratio = ratio; }
};

rota::status fit(const rota::cuda::backend& b, std::span<const rota::select_problem> layers,
                 std::span<const rota::packed_shape> shapes,
                 std::span<const rota::layer_scores> scores, double* ratio,
                 std::span<const rota::selection> out, rota::workspace ws) {
  return rota::cuda::fit_ratio<op>(b, layers, shapes, {}, scores, 1 << 20, set_tokens{}, ratio, out,
                                   ws);
}

using threshold = rota::cuda::device_budget<rota::adaptive_span>;
rota::status select(const rota::cuda::backend& b, std::span<const rota::select_problem> layers,
                    const threshold::params& p, std::span<const rota::layer_scores> scores,
                    std::span<const rota::selection> out, rota::workspace ws) {
  return rota::cuda::select<rota::keep_all, threshold>(b, layers, {}, p, scores, out, ws);
}

#include <rota/cuda/normalize.cuh>

// Normalization of both levels.

rota::status normalize(const rota::cuda::backend& b, std::span<const rota::select_problem> p,
                       std::span<const rota::layer_scores> s, rota::workspace ws) {
  return rota::cuda::normalize_scores(b, {rota::layer_normalization::rank, {}}, p, s, ws);
}

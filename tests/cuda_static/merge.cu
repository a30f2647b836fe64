#include <rota/cuda/merge.cuh>

// Merging of partial results: one kernel, whatever their elements.

rota::status merge(const rota::cuda::backend& b, rota::partial_attention<const float> x,
                   rota::partial_attention<const float> y,
                   rota::partial_attention<rota::bf16> result) {
  return rota::cuda::merge(b, x, y, result);
}

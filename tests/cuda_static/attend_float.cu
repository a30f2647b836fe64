#include <rota/cuda/attend.cuh>

// Attention over stores of floats: dense ones alone, since every kernel takes seconds to compile.

using store = rota::dense_store<float>;

rota::status attend(const rota::cuda::backend& b, std::span<const rota::attend_item<store>> batch,
                    rota::workspace ws) {
  return rota::cuda::attend(b, batch, {}, ws);
}

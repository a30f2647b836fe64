#include <rota/cuda/attend.cuh>

// Kernels that we ship, for the gate on registers and local memory: attention over packed stores.

using store = rota::cuda::packed_store<rota::bf16, 16>;

rota::status attend(const rota::cuda::backend& b, std::span<const rota::attend_item<store>> batch,
                    rota::workspace ws) {
  return rota::cuda::attend(b, batch, {}, ws);
}

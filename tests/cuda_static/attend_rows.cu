#include <rota/cuda/attend.cuh>

// Attention over dense and paged stores.

template <class Store>
using items = std::span<const rota::attend_item<Store>>;

rota::status attend_dense(const rota::cuda::backend& b, items<rota::dense_store<rota::bf16>> batch,
                          rota::workspace ws) {
  return rota::cuda::attend(b, batch, {}, ws);
}
rota::status attend_paged(const rota::cuda::backend& b, items<rota::paged_store<rota::f16>> batch,
                          rota::workspace ws) {
  return rota::cuda::attend(b, batch, {}, ws);
}

#include <rota/cuda/read_select.cuh>

// Read-select over packed stores.

using store = rota::cuda::packed_store<rota::bf16, 16>;
using packed_items = std::span<const rota::attend_item<rota::cuda::page_view<store>>>;

rota::status index_packed(const rota::cuda::backend& b, const store& s,
                          const rota::page_index<rota::bf16>& index) {
  return rota::cuda::index_pages(b, s, 16, index);
}
rota::status count_packed(const rota::cuda::backend& b, const rota::cuda::page_view<store>& view,
                          std::int64_t* bytes) {
  return rota::cuda::page_read_bytes(b, view, bytes);
}
rota::status read_packed(const rota::cuda::backend& b, packed_items batch, rota::workspace ws) {
  return rota::cuda::attend(b, batch, {}, ws);
}

#include <rota/cuda/read_select.cuh>

// Read-select over dense and paged stores: index, choice, and attention over what was chosen.

template <class Store>
rota::status step(const rota::cuda::backend& b, const Store& store,
                  const rota::page_index<typename Store::element_type>& index,
                  std::span<const rota::attend_item<rota::cuda::page_view<Store>>> batch,
                  std::int64_t* bytes, rota::workspace ws) {
  using rota::status;
  if (status s = rota::cuda::index_pages(b, store, 16, index); !s) return s;
  if (status s = rota::cuda::select_pages(b, index, batch[0].q, {64}, batch[0].store->list, ws); !s)
    return s;
  if (status s = rota::cuda::page_read_bytes(b, *batch[0].store, bytes); !s) return s;
  return rota::cuda::attend(b, batch, {}, ws);
}

extern const void* const row_steps[];
const void* const row_steps[] = {
    reinterpret_cast<const void*>(&step<rota::dense_store<rota::bf16>>),
    reinterpret_cast<const void*>(&step<rota::paged_store<rota::f16>>)};

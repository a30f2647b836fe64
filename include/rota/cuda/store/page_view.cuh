#pragma once

#include <rota/attend/read_select.hpp>
#include <rota/cuda/store/rows.cuh>

namespace rota::cuda {

/// Tokens that attention takes at once: a warp's step. Longer pages are read in parts of so many.
inline constexpr index_t page_part_tokens = 16;

/// A store of which only some pages are there: what a step reads (rota::page_view, in device
/// memory). Refers to the store and to the list, which must outlive it; the list's pages and counts
/// lie in device memory and only kernels read them. A query that sees none of the pages gives 0 and
/// -inf, so the last page belongs into every list. Mean fills stay those of the whole store.
template <class Store>
struct page_view {
  using element_type = typename Store::element_type;

  const Store* store = nullptr;
  page_list list;            ///< from select_pages()
  index_t page_tokens = 16;  ///< as index_pages() was told: no page is longer

  index_t kv_heads() const { return store->kv_heads(); }
  index_t d_k() const { return store->d_k(); }
  index_t d_v() const { return store->d_v(); }
  /// Places for tokens that a head's pages take, at most.
  index_t capacity() const { return list.capacity() * parts() * page_part_tokens; }
  /// Parts of a page.
  index_t parts() const { return (page_tokens + page_part_tokens - 1) / page_part_tokens; }
};

/// A page_list as kernels find it.
struct page_list_ref {
  page_ref* pages = nullptr;
  index_t head = 0;  ///< stride
  std::int32_t* counts = nullptr;
  index_t capacity = 0;

  page_list_ref() = default;
  explicit page_list_ref(const page_list& l)
      : pages(l.pages.data),
        head(l.pages.stride[0]),
        counts(l.counts.data),
        capacity(l.capacity()) {}

  /// Pages of a head; -1 where that cannot be.
  ROTA_DEVICE index_t count(index_t h) const {
    const index_t n = ptx::load(counts + h);
    return n <= capacity ? n : -1;
  }
  ROTA_DEVICE page_ref page(index_t h, index_t i) const { return ptx::load(pages + h * head + i); }
  ROTA_DEVICE void set(index_t h, index_t i, const page_ref& p) const {
    ptx::store(pages + h * head + i, p);
  }
};

/// Rows of a packed record change places with a period of eight tokens, and its index is read by 16
/// bytes: pages of packed stores begin at multiples of this.
inline constexpr index_t record_page_step = 8;

/// Whether a store can be cut into pages of so many tokens.
template <class Store>
status check_page_tokens(const Store&, index_t page_tokens) {
  constexpr bool has_records = requires(const Store& s) {
    s.shape;
  };
  if (page_tokens < 1 || page_tokens > INT32_MAX) return {errc::bad_parameter, "page_tokens"};
  if (has_records && page_tokens % record_page_step != 0) return {errc::unsupported, "page_tokens"};
  return {};
}

/// What can be seen of a list for `heads` heads from the host.
inline status check_list(const backend& b, const page_list& list, index_t heads, const char* pages,
                         const char* counts) {
  if (status s = check_output(list.pages, pages); !s) return s;
  if (status s = check_rows(b, list.pages, alignof(page_ref), pages); !s) return s;
  if (status s = check_rows(b, list.counts, alignof(std::int32_t), counts); !s) return s;
  if (list.pages.extent[0] != heads || list.capacity() > INT32_MAX) return {errc::bad_shape, pages};
  if (list.counts.extent[0] != heads) return {errc::bad_shape, counts};
  return {};
}

template <class Store>
status check_store(const backend& b, const page_view<Store>& view) {
  if (view.store == nullptr) return {errc::null_view, "store"};
  if (status s = check_store(b, *view.store); !s) return s;
  if (status s = check_page_tokens(*view.store, view.page_tokens); !s) return s;
  return check_list(b, view.list, view.kv_heads(), "store.pages", "store.counts");
}

inline bool meets(const page_list& list, const byte_range& r) {
  return overlaps(range_of(list.pages), r) || overlaps(range_of(list.counts), r);
}
template <class Store>
bool meets(const page_view<Store>& view, const byte_range& r) {
  return meets(*view.store, r) || meets(view.list, r);
}

}  // namespace rota::cuda

#pragma once

#include <rota/cuda/attend/head_blocks.cuh>

// The index of a store's pages: the smallest and the largest of every key coordinate of a page.

namespace rota::cuda {

/// A page_index as kernels find it.
template <element E>
struct page_index_ref {
  page_list_ref list;
  E* low = nullptr;
  E* high = nullptr;
  index_t low_head = 0, low_page = 0, high_head = 0, high_page = 0;  ///< strides
  index_t heads = 0, d_k = 0;

  page_index_ref() = default;
  explicit page_index_ref(const page_index<E>& i)
      : list(i.list),
        low(i.low.data),
        high(i.high.data),
        low_head(i.low.stride[0]),
        low_page(i.low.stride[1]),
        high_head(i.high.stride[0]),
        high_page(i.high.stride[1]),
        heads(i.low.extent[0]),
        d_k(i.low.extent[2]) {}

  ROTA_DEVICE E* low_row(index_t h, index_t p) const { return low + h * low_head + p * low_page; }
  ROTA_DEVICE E* high_row(index_t h, index_t p) const {
    return high + h * high_head + p * high_page;
  }
};

/// 16 bytes of elements.
template <element E>
struct alignas(16) element_chunk {
  static constexpr int size = chunk_bytes / static_cast<int>(sizeof(E));
  E values[size];

  ROTA_DEVICE static element_chunk load(const E* row, int chunk) {
    return bit_cast<element_chunk>(ptx::load(reinterpret_cast<const ptx::chunk16*>(row) + chunk));
  }
  ROTA_DEVICE void store(E* row, int chunk) const {
    ptx::store(reinterpret_cast<ptx::chunk16*>(row) + chunk, bit_cast<ptx::chunk16>(*this));
  }
};

/// Where the keys of a page lie: chunk c of token j is at row(j) + place(j, c).
template <class Source>
struct page_keys {
  using E = typename Source::element_type;
  const Source& store;
  index_t h;
  index_t first = 0;          ///< row, or token of the record
  const E* record = nullptr;  ///< its keys
  std::uint32_t* fault;

  ROTA_DEVICE page_keys(const Source& s, index_t head, const head_blocks& blocks, const page_ref& p,
                        std::uint32_t* word)
      : store(s), h(head), fault(word) {
    if constexpr (Source::has_records)
      if (blocks.is_record(p)) {
        find_record(p);
        return;
      }
    first = blocks.row(p);
  }

  /// Null: it cannot be found, which is reported.
  ROTA_DEVICE const E* row(index_t j) const {
    return record != nullptr ? record + (first + j) * store.rows.d_k
                             : store.rows.key(h, first + j, fault);
  }
  ROTA_DEVICE int place(index_t j, int c, int chunks) const {
    if (record == nullptr) return c;
    return Source::swizzle::row_chunk(static_cast<int>(first + j), c, chunks);
  }

 private:
  ROTA_DEVICE void find_record(const page_ref& p) {
    const std::byte* const at = store.parts().data + store.record_begin(h, p.block);
    const record_head head = record_head::at(at);
    const bool whole = head.order == value_order::whole;
    constexpr record_shape keys_alone{0, 0, 1, {}, 0};  // where keys begin, no width says
    const index_t keys = whole ? layout_whole(keys_alone, head.tokens).keys
                               : layout_token_major({}, head.tokens, head.slices).keys;
    if (index_t{p.first} + p.count > head.tokens) report(fault, errc::bad_store, culprit::store);
    first = p.first;
    record = reinterpret_cast<const E*>(at + keys);
  }
};

/// Bounds the pages from the last known one on, a thread a (page, 16 bytes of coordinates). The
/// counts stay: count_pages_kernel writes them.
template <class Source>
struct bound_pages_kernel {
  static constexpr int threads = 128;
  static constexpr int least_blocks = 4;
  using E = typename Source::element_type;
  using chunk = element_chunk<E>;

  struct arguments {
    Source store;
    page_index_ref<E> index;
    index_t page_tokens;
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    bool fits = a.store.is_sound(a.fault);
    for (index_t h = ptx::thread_index(); fits && h < a.index.heads; h += threads)
      fits = check_head(a, h);
    if (ptx::sync_block_or(!fits)) return;

    const index_t h = ptx::block_y();
    const head_blocks blocks = blocks_of_head(a.store, h, a.fault);
    const index_t known = a.index.list.count(h), first = known > 0 ? known - 1 : 0;
    const int chunks = static_cast<int>(a.index.d_k) / chunk::size;
    const index_t all = (blocks.pages(a.page_tokens) - first) * chunks;
    const index_t step = index_t{ptx::blocks_x()} * threads;
    for (index_t i = index_t{ptx::block_x()} * threads + ptx::thread_index(); i < all; i += step) {
      const index_t number = first + i / chunks;
      const int c = static_cast<int>(i % chunks);
      const page_ref page = blocks.page(number, a.page_tokens);
      bound(a, h, number, page, page_keys<Source>(a.store, h, blocks, page, a.fault), c, chunks);
      if (c == 0) a.index.list.set(h, number, page);
    }
  }

 private:
  ROTA_DEVICE static bool check_head(const arguments& a, index_t h) {
    const bool counted = a.index.list.count(h) >= 0;
    if (!counted) report(a.fault, errc::bad_count, culprit::index);
    const index_t pages = blocks_of_head(a.store, h, a.fault).pages(a.page_tokens);
    const bool fits = pages <= a.index.list.capacity;
    if (!fits) report(a.fault, errc::store_too_small, culprit::index);
    return counted && fits;
  }

  /// The smallest and largest of each coordinate; NaN where a key has NaN, and so what is made of
  /// it.
  ROTA_DEVICE static void bound(const arguments& a, index_t h, index_t number, const page_ref& page,
                                const page_keys<Source>& keys, int c, int chunks) {
    float least[chunk::size], most[chunk::size];
    for (index_t j = 0; j < page.count; ++j) {
      const E* const row = keys.row(j);
      if (row == nullptr) return;
      const chunk key = chunk::load(row, keys.place(j, c, chunks));
      ROTA_UNROLL
      for (int k = 0; k < chunk::size; ++k) {
        const float x = static_cast<float>(key.values[k]);
        least[k] = j == 0 || x < least[k] || x != x ? x : least[k];
        most[k] = j == 0 || x > most[k] || x != x ? x : most[k];
      }
    }
    chunk low, high;
    ROTA_UNROLL
    for (int k = 0; k < chunk::size; ++k) {
      low.values[k] = static_cast<E>(least[k]);
      high.values[k] = static_cast<E>(most[k]);
    }
    low.store(a.index.low_row(h, number), c);
    high.store(a.index.high_row(h, number), c);
  }
};

/// Counts the pages that are known now, a thread a head.
template <class Source>
struct count_pages_kernel {
  static constexpr int threads = 32;
  static constexpr int least_blocks = 1;
  using arguments = typename bound_pages_kernel<Source>::arguments;

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t h = index_t{ptx::block_x()} * threads + ptx::thread_index();
    if (h >= a.index.heads) return;
    const index_t pages = blocks_of_head(a.store, h, a.fault).pages(a.page_tokens);
    ptx::store(a.index.list.counts + h, static_cast<std::int32_t>(pages));
  }
};

}  // namespace rota::cuda

#pragma once

#include <algorithm>
#include <cstdint>

#include <rota/core/view.hpp>
#include <rota/store/block.hpp>

// Read-select (Quest, arXiv 2406.10774): everything stays in memory, and each step reads a part of
// it. Tokens are cut into pages; an index keeps the smallest and the largest value of every key
// coordinate of a page, which bound what any of its logits can be; a step reads the pages whose
// bounds are highest, and attends over a page_view of the store as over any other store.
//
//   cpu::index_pages -> cpu::select_pages -> attend over page_view

namespace rota {

/// Tokens first .. first + count - 1 of a block of one kv head.
struct page_ref {
  std::int32_t block = 0;
  std::int32_t first = 0;
  std::int32_t count = 0;
};

/// Where each head's pages are, ascending; memory is the caller's. `capacity` pages a head, of
/// which `counts` are there.
struct page_list {
  view<page_ref, 2> pages;       ///< [kv_heads, capacity]
  view<std::int32_t, 1> counts;  ///< [kv_heads]

  index_t capacity() const { return pages.extent[1]; }
};

/// The pages of a store and their bounds. An empty index has counts of 0.
template <element E>
struct page_index {
  page_list list;
  view<E, 3> low;   ///< [kv_heads, capacity, d_k]: the smallest key coordinates of each page
  view<E, 3> high;  ///< [kv_heads, capacity, d_k]: the largest

  /// All that the index occupies.
  index_t bytes() const {
    const index_t heads = low.extent[0], pages = list.capacity();
    return heads * (pages * (static_cast<index_t>(sizeof(page_ref)) +
                             2 * low.extent[2] * static_cast<index_t>(sizeof(E))) +
                    4);
  }
};

/// How select_pages() chooses.
struct page_budget {
  index_t pages = 1;  ///< read per kv head, the last page included; fewer where there are fewer
};

/// Tokens of a page that begins at token `first` of a block. Group-major records are one page, for
/// their slices cannot be cut by token: give such stores small records.
template <codec E>
index_t page_length(const block<E>& b, index_t first, index_t page_tokens) {
  return b.order == value_order::group_major ? b.count - first
                                             : std::min(page_tokens, b.count - first);
}

/// Pages that a head of the store is cut into.
template <kv_store Store>
index_t page_count(const Store& store, index_t head, index_t page_tokens) {
  index_t pages = 0;
  for (index_t i = 0; i < store.block_count(head); ++i) {
    const auto b = store.block_at(head, i);
    if (b.count == 0) continue;
    pages += b.order == value_order::group_major ? 1 : (b.count + page_tokens - 1) / page_tokens;
  }
  return pages;
}

/// The page as a block of its own. `code_rank`: of the store.
template <codec E>
block<E> slice_of(block<E> b, const page_ref& page, index_t code_rank = 0) {
  if (page.first == 0 && page.count == b.count) return b;
  b.keys += page.first * b.key_stride;
  if (b.key_scales != nullptr) b.key_scales += page.first;
  if (b.order == value_order::whole) {
    b.values += page.first * b.value_stride;
    if (b.value_scales != nullptr) b.value_scales += page.first * b.value_scale_stride;
  }
  if (b.masks != nullptr) b.masks += page.first;
  if (b.starts != nullptr) b.starts += page.first;
  if (b.codes != nullptr) b.codes += page.first * code_rank;
  if (b.positions != nullptr) b.positions += page.first;
  b.first_position = static_cast<position_t>(b.first_position + page.first);
  b.count = page.count;
  return b;
}

/// Bytes that attention reads of a block: keys, values that are there, codes, scales, their index.
template <codec E>
index_t read_bytes(const block<E>& b, index_t d_k, index_t d_v, index_t group_width,
                   index_t code_rank = 0) {
  constexpr codec_sizes sizes = codec_traits<E>::sizes;
  index_t bytes = b.count * (d_k * sizes.key + sizes.key_scale);
  if (b.positions != nullptr) bytes += b.count * 4;
  if (b.codes != nullptr) bytes += b.count * code_rank * sizes.code;
  const index_t groups = d_v / group_width;
  const index_t slice = group_width * sizes.value + sizes.value_scale;
  switch (b.order) {
    case value_order::whole:
      return bytes + b.count * groups * slice;
    case value_order::token_major:
      return bytes + (b.starts[b.count] - b.starts[0]) * slice + b.count * 2 + (b.count + 1) * 2;
    case value_order::group_major:
      return bytes + b.starts[groups] * (slice + 1) + (groups + 1) * 2;
  }
  return bytes;
}

/// A store of which only some pages are there: what a step reads. Refers to the store and to the
/// list, which must outlive it. A query that sees none of the pages gives 0 and -inf, so the last
/// page belongs into every list. Means and decoders stay those of the whole store.
template <kv_store Store>
struct page_view {
  using element_type = typename Store::element_type;

  const Store* store = nullptr;
  page_list list;  ///< from select_pages()

  index_t kv_heads() const { return store->kv_heads(); }
  index_t d_k() const { return store->d_k(); }
  index_t d_v() const { return store->d_v(); }
  index_t group_width() const { return store->group_width(); }
  position_t next_position() const { return store->next_position(); }
  const float* means(index_t head) const { return store->means(head); }
  index_t code_rank() const { return code_rank_of(*store); }
  const code_type_of<element_type>* decoder(index_t head) const requires requires(const Store& s) {
    s.decoder(head);
  }
  { return store->decoder(head); }
  index_t block_count(index_t head) const { return list.counts(head); }
  block<element_type> block_at(index_t head, index_t i) const {
    const page_ref& page = list.pages(head, i);
    return slice_of(store->block_at(head, page.block), page, code_rank());
  }
  /// What stays in memory: the whole store.
  index_t bytes() const { return store->bytes(); }
  /// What a step reads of it, over all heads; the index's own bytes come on top.
  index_t read_bytes() const {
    index_t sum = 0;
    for (index_t h = 0; h < kv_heads(); ++h)
      for (index_t i = 0; i < block_count(h); ++i)
        sum += rota::read_bytes(block_at(h, i), d_k(), d_v(), group_width(), code_rank());
    return sum;
  }

  status check() const {
    if (store == nullptr) return {errc::null_view, "store"};
    if (status s = store->check(); !s) return s;
    if (status s = check_view(list.pages, "store.pages"); !s) return s;
    if (status s = check_view(list.counts, "store.counts"); !s) return s;
    if (list.pages.extent[0] != kv_heads()) return {errc::bad_shape, "store.pages"};
    if (list.counts.extent[0] != kv_heads()) return {errc::bad_shape, "store.counts"};
    for (index_t h = 0; h < kv_heads(); ++h)
      if (status s = check_head(h); !s) return s;
    return {};
  }

 private:
  /// Pages lie inside their blocks and ascend, and none is cut that cannot be.
  status check_head(index_t h) const {
    if (list.counts(h) < 0 || list.counts(h) > list.capacity())
      return {errc::bad_count, "store.counts"};
    for (index_t i = 0; i < list.counts(h); ++i) {
      const page_ref& p = list.pages(h, i);
      if (p.block < 0 || p.block >= store->block_count(h)) return {errc::bad_store, "store.pages"};
      const auto b = store->block_at(h, p.block);
      const bool whole = p.first == 0 && p.count == b.count;
      if (p.first < 0 || p.count < 0 || p.first > b.count || p.count > b.count - p.first ||
          (b.order == value_order::group_major && !whole))
        return {errc::bad_store, "store.pages"};
      if (i == 0) continue;
      const page_ref& before = list.pages(h, i - 1);
      const bool after = p.block > before.block ||
                         (p.block == before.block && p.first >= before.first + before.count);
      if (!after) return {errc::bad_store, "store.pages"};
    }
    return {};
  }
};

}  // namespace rota

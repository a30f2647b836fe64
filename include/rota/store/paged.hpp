#pragma once

#include <algorithm>

#include <rota/store/block.hpp>

namespace rota {

/// Every token whole, in pages of a pool that sequences share through block tables.
template <element E>
struct paged_store {
  using element_type = E;

  view<E, 4> key_pages;                     ///< [pages, kv_heads, page_tokens, d_k]
  view<E, 4> value_pages;                   ///< [pages, kv_heads, page_tokens, d_v]
  view<const std::int32_t, 1> block_table;  ///< page numbers of this sequence, in order
  index_t length = 0;
  position_t first_position = 0;
  /// For backends on a device: where in its memory the length lies; they use and advance it instead
  /// of `length`. Null: `length`.
  std::int32_t* device_length = nullptr;

  index_t kv_heads() const { return key_pages.extent[1]; }
  index_t page_tokens() const { return key_pages.extent[2]; }
  index_t capacity() const { return block_table.extent[0] * page_tokens(); }
  index_t d_k() const { return key_pages.extent[3]; }
  index_t d_v() const { return value_pages.extent[3]; }
  index_t group_width() const { return d_v(); }
  position_t next_position() const { return static_cast<position_t>(first_position + length); }
  index_t block_count(index_t) const { return (length + page_tokens() - 1) / page_tokens(); }
  const float* means(index_t) const { return nullptr; }
  /// The pages that this sequence holds and its block table.
  index_t bytes() const {
    return capacity() * kv_heads() * (d_k() + d_v()) * static_cast<index_t>(sizeof(E)) +
           block_table.extent[0] * 4;
  }

  block<E> block_at(index_t head, index_t i) const {
    block<E> b;
    const index_t first = i * page_tokens();
    const index_t page = block_table(i);
    b.count = std::min(page_tokens(), length - first);
    b.first_position = static_cast<position_t>(first_position + first);
    b.keys = key_pages.row(page, head, 0);
    b.key_stride = key_pages.stride[2];
    b.values = value_pages.row(page, head, 0);
    b.value_stride = value_pages.stride[2];
    return b;
  }

  status check() const {
    if (status s = check_shape(); !s) return s;
    for (index_t i = 0; i < block_table.extent[0]; ++i)
      if (block_table(i) < 0 || block_table(i) >= key_pages.extent[0])
        return {errc::bad_shape, "store.block_table"};
    return {};
  }

  /// check() without a look into the block table, for backends on a device.
  status check_shape() const {
    if (status s = check_view(key_pages, "store.key_pages"); !s) return s;
    if (status s = check_view(value_pages, "store.value_pages"); !s) return s;
    if (status s = check_view(block_table, "store.block_table"); !s) return s;
    for (int i : {1, 2, 3})
      if (key_pages.extent[i] < 1) return {errc::bad_shape, "store.key_pages"};
    for (int i : {0, 1, 2})
      if (value_pages.extent[i] != key_pages.extent[i])
        return {errc::bad_shape, "store.value_pages"};
    if (value_pages.extent[3] < 1) return {errc::bad_shape, "store.value_pages"};
    if (length < 0 || length > capacity()) return {errc::bad_count, "store.length"};
    if (first_position < 0 || first_position + length > INT32_MAX)
      return {errc::bad_position, "store.first_position"};
    return {};
  }
};

}  // namespace rota

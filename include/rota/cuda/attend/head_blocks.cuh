#pragma once

#include <rota/attend/read_select.hpp>
#include <rota/cuda/attend/segment.cuh>
#include <rota/cuda/store/page_view.cuh>

// The blocks of a head, as page_ref numbers them on every backend: first the records of a packed
// store, then whole rows, cut as the store's block_at() on the host cuts them.

namespace rota::cuda {

/// Tokens of a block of rows.
template <element E>
ROTA_DEVICE index_t block_tokens(const dense_rows<E>&) {
  return dense_store<E>::block_tokens;
}
template <element E>
ROTA_DEVICE index_t block_tokens(const paged_rows<E>& rows) {
  return rows.page_tokens;
}
template <element E>
ROTA_DEVICE index_t block_tokens(const tail_rows<E>&) {
  return 64;  // rota::packed_store::tail_block_tokens, whatever the width
}

/// Tokens in blocks of which only the last may be short.
struct block_run {
  index_t tokens = 0, block_tokens = 1;

  ROTA_DEVICE index_t blocks() const { return (tokens + block_tokens - 1) / block_tokens; }
  /// None, or fewer than none, behind the last.
  ROTA_DEVICE index_t tokens_of(index_t block) const {
    const index_t left = tokens - block * block_tokens;
    return left < block_tokens ? left : block_tokens;
  }
  /// Pages of a whole block.
  ROTA_DEVICE index_t block_pages(index_t page_tokens) const {
    return (block_tokens + page_tokens - 1) / page_tokens;
  }
  ROTA_DEVICE index_t pages(index_t page_tokens) const {
    const index_t rest = tokens % block_tokens;
    return tokens / block_tokens * block_pages(page_tokens) +
           (rest + page_tokens - 1) / page_tokens;
  }
  ROTA_DEVICE page_ref page(index_t number, index_t page_tokens) const {
    const index_t each = block_pages(page_tokens), block = number / each;
    const index_t first = number % each * page_tokens, left = tokens_of(block) - first;
    return {static_cast<std::int32_t>(block), static_cast<std::int32_t>(first),
            static_cast<std::int32_t>(left < page_tokens ? left : page_tokens)};
  }
};

/// All blocks of a head.
struct head_blocks {
  block_run records, rows;

  ROTA_DEVICE index_t pages(index_t page_tokens) const {
    return records.pages(page_tokens) + rows.pages(page_tokens);
  }
  ROTA_DEVICE page_ref page(index_t number, index_t page_tokens) const {
    const index_t sealed = records.pages(page_tokens);
    if (number < sealed) return records.page(number, page_tokens);
    page_ref p = rows.page(number - sealed, page_tokens);
    p.block += static_cast<std::int32_t>(records.blocks());
    return p;
  }
  ROTA_DEVICE bool is_record(const page_ref& p) const { return p.block < records.blocks(); }
  /// Number of the row at which a page of rows begins.
  ROTA_DEVICE index_t row(const page_ref& p) const {
    return (p.block - records.blocks()) * rows.block_tokens + p.first;
  }
  /// Whether the page lies inside a block.
  ROTA_DEVICE bool has(const page_ref& p) const {
    if (p.block < 0 || p.first < 0 || p.count < 0) return false;
    if (is_record(p))
      return p.first % record_page_step == 0 &&
             index_t{p.first} + p.count <= records.tokens_of(p.block);
    return index_t{p.first} + p.count <= rows.tokens_of(p.block - records.blocks());
  }
};

/// The blocks of head h. Empty where the store's count cannot be, which is reported.
template <class Source>
ROTA_DEVICE head_blocks blocks_of_head(const Source& store, index_t h, std::uint32_t* fault) {
  head_blocks b;
  const index_t count = store.rows.count(fault);
  b.rows = {count > 0 ? count : 0, block_tokens(store.rows)};
  if constexpr (Source::has_records)
    b.records = {static_cast<index_t>(ptx::load(&store.parts().head(h)->tokens)), record_tokens};
  return b;
}

/// A record's header, in device memory.
struct record_head {
  index_t tokens, slices;
  value_order order;

  ROTA_DEVICE record_head(std::uint32_t first, std::uint32_t second)
      : tokens(first & 0xffffu),
        slices(second),
        order(static_cast<value_order>(first >> 16 & 0xffu)) {}
  /// Whether a record of `bytes` bytes can have this header.
  ROTA_DEVICE bool fits(const record_shape& shape, std::uint32_t bytes) const {
    return tokens <= record_tokens &&
           slices * shape.slice_bytes() <= tokens * shape.value_bytes() &&
           layout_record(shape, order, tokens, slices).bytes <= index_t{bytes};
  }
  ROTA_DEVICE static record_head at(const std::byte* record) {
    const auto* const words = reinterpret_cast<const std::uint32_t*>(record);
    return {ptx::load(words), ptx::load(words + 1)};
  }
};

}  // namespace rota::cuda

#pragma once

#include <algorithm>
#include <cstring>

#include <rota/cuda/store/packed.cuh>
#include <rota/store/verify.hpp>

// What lies in device memory differs from the saved, canonical form by the order of chunks alone.
// An engine copies store.data to host memory, and calls to_host_form(); save(), verify() and
// everything else for rota::packed_store then works on it. from_host_form() is the way back.

namespace rota::cuda {

namespace detail {

/// Exchanges the chunks of a section of `chunks` chunks with their places; `place(c)` is its own
/// inverse and stays inside runs of bank_chunks chunks.
template <class Place>
void exchange_chunks(std::byte* section, index_t chunks, Place&& place) {
  for (index_t c = 0; c < chunks; ++c) {
    const index_t to = place(c);
    if (to > c)
      std::swap_ranges(section + c * chunk_bytes, section + (c + 1) * chunk_bytes,
                       section + to * chunk_bytes);
  }
}

template <class Swizzle>
void exchange_record(const record_shape& shape, std::byte* memory) {
  const auto& r = *reinterpret_cast<const record_header*>(memory);
  const auto order = static_cast<value_order>(r.order);
  const record_layout at = layout_record(shape, order, r.tokens, r.slices);
  const auto rows = [&](index_t offset, index_t row_bytes) {
    const auto row = static_cast<int>(row_bytes / chunk_bytes);
    exchange_chunks(memory + offset, r.tokens * row, [row](index_t c) {
      const auto token = static_cast<int>(c / row), within = static_cast<int>(c % row);
      return c - within + Swizzle::row_chunk(token, within, row);
    });
  };
  rows(at.keys, shape.key_bytes());
  if (order == value_order::whole) {
    rows(at.values, shape.value_bytes());
    return;
  }
  const auto all = static_cast<int>(r.slices * shape.slice_bytes() / chunk_bytes);
  exchange_chunks(memory + at.values, all,
                  [all](index_t c) { return Swizzle::slice_chunk(static_cast<int>(c), all); });
}

/// Between the two forms, in either direction: each permutation is its own inverse.
template <class Swizzle, class Store>
void exchange_all(Store& store) {
  for (index_t h = 0; h < store.kv_heads(); ++h)
    for (index_t i = 0; i < store.sealed_blocks(h); ++i)
      exchange_record<Swizzle>(
          store.shape(),
          store.data +
              store.record_offsets()[store.head(h).first_record + static_cast<std::uint64_t>(i)]);
}

}  // namespace detail

/// Turns a copy of a device store's memory, in host memory aligned to record_alignment, into a
/// rota::packed_store, in place. bad_store: it does not hold one with this order of chunks; the
/// index is checked as verify() does.
template <class Swizzle, element E, int W>
status to_host_form(rota::packed_store<E, W>& store) {
  if (status s = verify(store); !s) return s;
  if (store.header().reserved_word != Swizzle::code) return {errc::bad_store, "store"};
  detail::exchange_all<Swizzle>(store);
  store.header().reserved_word = in_order::code;
  return {};
}

/// Turns a token-major store with records of 64 tokens into what the kernels read, in place: copy
/// it to device memory then. bad_store: it is no such store.
template <class Swizzle, element E, int W>
status from_host_form(rota::packed_store<E, W>& store) {
  if (status s = verify(store); !s) return s;
  const packed_header& h = store.header();
  if (h.reserved_word != in_order::code || h.record_tokens != record_tokens ||
      static_cast<value_order>(h.order) != value_order::token_major)
    return {errc::bad_store, "store"};
  detail::exchange_all<Swizzle>(store);
  store.header().reserved_word = Swizzle::code;
  return {};
}

}  // namespace rota::cuda

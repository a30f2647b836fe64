#pragma once

#include <rota/cuda/backend.cuh>
#include <rota/cuda/length.cuh>
#include <rota/cuda/store/packed.cuh>

// Whole rows of a store, as kernels find them: those of a dense or paged store, and the tail of a
// packed one. Each names its memory by (kv head, number of the token).

namespace rota::cuda {

/// What can be seen of a store from the host.
template <element E>
status check_store(const backend& b, const dense_store<E>& store) {
  if (status s = store.check(); !s) return s;
  if (status s = check_rows(b, store.keys, chunk_bytes, "store.keys"); !s) return s;
  if (status s = check_rows(b, store.values, chunk_bytes, "store.values"); !s) return s;
  return check_memory(b, named_memory(store.device_length, "store.device_length"));
}

template <element E>
status check_store(const backend& b, const paged_store<E>& store) {
  if (status s = store.check_shape(); !s) return s;
  if (store.capacity() > INT32_MAX) return {errc::bad_shape, "store.block_table"};
  if (status s = check_rows(b, store.key_pages, chunk_bytes, "store.key_pages"); !s) return s;
  if (status s = check_rows(b, store.value_pages, chunk_bytes, "store.value_pages"); !s) return s;
  if (status s = check_memory(b, named_memory(store.block_table.data, "store.block_table")); !s)
    return s;
  return check_memory(b, named_memory(store.device_length, "store.device_length"));
}

template <element E, int W, class Swizzle>
status check_store(const backend& b, const packed_store<E, W, Swizzle>& store) {
  if (store.data == nullptr) return {errc::null_view, "store"};
  if (reinterpret_cast<std::uintptr_t>(store.data) % record_alignment != 0)
    return {errc::bad_alignment, "store"};
  if (store.shape.kv_heads < 1 || store.shape.record.width != W ||
      store.shape.element_code != element_traits<E>::code ||
      store.capacity_bytes < static_cast<index_t>(sizeof(packed_header)))
    return {errc::bad_store, "store"};
  return check_memory(b, store.data, "store");
}

/// Whether a range meets a store's memory.
template <element E>
bool meets(const dense_store<E>& s, const byte_range& r) {
  return overlaps(range_of(s.keys), r) || overlaps(range_of(s.values), r);
}
template <element E>
bool meets(const paged_store<E>& s, const byte_range& r) {
  return overlaps(range_of(s.key_pages), r) || overlaps(range_of(s.value_pages), r) ||
         overlaps(range_of(s.block_table), r);
}
template <element E, int W, class Swizzle>
bool meets(const packed_store<E, W, Swizzle>& s, const byte_range& r) {
  return overlaps(byte_range(s.data, static_cast<std::size_t>(s.capacity_bytes)), r);
}

/// A token's key and value; null where the store does not say where they are.
template <element E>
struct row_pair {
  E* key = nullptr;
  E* value = nullptr;
};

template <element E>
struct dense_rows {
  using element_type = E;
  static constexpr bool in_table = false;  ///< whether finding a row takes loads
  E* keys;
  E* values;
  index_t key_head, key_token, value_head, value_token;  ///< strides
  index_t d_k, d_v, capacity;
  length_ref length;
  std::int32_t* counter;
  position_t first_position;

  dense_rows() = default;
  explicit dense_rows(const dense_store<E>& s)
      : keys(s.keys.data),
        values(s.values.data),
        key_head(s.keys.stride[0]),
        key_token(s.keys.stride[1]),
        value_head(s.values.stride[0]),
        value_token(s.values.stride[1]),
        d_k(s.d_k()),
        d_v(s.d_v()),
        capacity(s.capacity()),
        length{s.device_length != nullptr ? s.capacity() : s.length, s.device_length},
        counter(s.device_length),
        first_position(s.first_position) {}

  bool counts_on_host() const { return counter == nullptr; }

  /// Tokens that are there; -1 where that cannot be said, which is reported.
  ROTA_DEVICE index_t count(std::uint32_t* fault) const { return length.get(fault); }
  ROTA_DEVICE E* key(index_t h, index_t i, std::uint32_t*) const {
    return keys + h * key_head + i * key_token;
  }
  ROTA_DEVICE E* value(index_t h, index_t i, std::uint32_t*) const {
    return values + h * value_head + i * value_token;
  }
  ROTA_DEVICE row_pair<E> row(index_t h, index_t i, std::uint32_t* fault) const {
    return {key(h, i, fault), value(h, i, fault)};
  }
  ROTA_DEVICE void advance(index_t n) const {
    ptx::store(counter, ptx::load(counter) + static_cast<std::int32_t>(n));
  }
  ROTA_DEVICE static errc too_few() { return errc::bad_count; }
};

template <element E>
struct paged_rows {
  using element_type = E;
  static constexpr bool in_table = true;
  E* key_pages;
  E* value_pages;
  const std::int32_t* block_table;
  index_t key_page, key_head, key_token, value_page, value_head, value_token;  ///< strides
  index_t d_k, d_v, capacity, page_tokens, pages;
  length_ref length;
  std::int32_t* counter;
  position_t first_position;

  paged_rows() = default;
  explicit paged_rows(const paged_store<E>& s)
      : key_pages(s.key_pages.data),
        value_pages(s.value_pages.data),
        block_table(s.block_table.data),
        key_page(s.key_pages.stride[0]),
        key_head(s.key_pages.stride[1]),
        key_token(s.key_pages.stride[2]),
        value_page(s.value_pages.stride[0]),
        value_head(s.value_pages.stride[1]),
        value_token(s.value_pages.stride[2]),
        d_k(s.d_k()),
        d_v(s.d_v()),
        capacity(s.capacity()),
        page_tokens(s.page_tokens()),
        pages(s.key_pages.extent[0]),
        length{s.device_length != nullptr ? s.capacity() : s.length, s.device_length},
        counter(s.device_length),
        first_position(s.first_position) {}

  bool counts_on_host() const { return counter == nullptr; }

  ROTA_DEVICE index_t count(std::uint32_t* fault) const { return length.get(fault); }
  ROTA_DEVICE E* key(index_t h, index_t i, std::uint32_t* fault) const {
    return row(h, i, fault).key;
  }
  ROTA_DEVICE E* value(index_t h, index_t i, std::uint32_t* fault) const {
    return row(h, i, fault).value;
  }
  /// One look into the table for both.
  ROTA_DEVICE row_pair<E> row(index_t h, index_t i, std::uint32_t* fault) const {
    const auto number = static_cast<std::uint32_t>(i),
               each = static_cast<std::uint32_t>(page_tokens);
    const std::uint32_t entry = number / each;  // in 32 bits, which check_store() sees to
    const index_t page = ptx::load(block_table + entry), inside = number - entry * each;
    if (page < 0 || page >= pages) {
      report(fault, errc::bad_store, culprit::store);
      return {};
    }
    return {key_pages + page * key_page + h * key_head + inside * key_token,
            value_pages + page * value_page + h * value_head + inside * value_token};
  }
  ROTA_DEVICE void advance(index_t n) const {
    ptx::store(counter, ptx::load(counter) + static_cast<std::int32_t>(n));
  }
  ROTA_DEVICE static errc too_few() { return errc::bad_count; }
};

/// The tail of a packed store.
template <element E>
struct tail_rows {
  using element_type = E;
  static constexpr bool in_table = true;
  std::byte* data;
  index_t d_k, d_v, capacity, kv_heads, store_bytes;

  tail_rows() = default;
  template <int W, class Swizzle>
  explicit tail_rows(const packed_store<E, W, Swizzle>& s)
      : data(s.data),
        d_k(s.d_k()),
        d_v(s.d_v()),
        capacity(s.tail_capacity()),
        kv_heads(s.kv_heads()),
        store_bytes(s.capacity_bytes) {}

  static bool counts_on_host() { return false; }

  /// The header, if the memory holds a store of this shape.
  ROTA_DEVICE index_t count(std::uint32_t* fault) const {
    const packed_header* const h = header();
    const bool same = ptx::load(&h->kv_heads) == kv_heads && ptx::load(&h->d_k) == d_k &&
                      ptx::load(&h->d_v) == d_v && ptx::load(&h->tail_capacity) == capacity &&
                      ptx::load(&h->bytes) <= static_cast<std::uint64_t>(store_bytes);
    const index_t n = same ? ptx::load(&h->tail_count) : -1;
    if (n >= 0 && n <= capacity) return n;
    report(fault, errc::bad_store, culprit::store);
    return -1;
  }
  ROTA_DEVICE E* key(index_t h, index_t i, std::uint32_t*) const {
    return reinterpret_cast<E*>(data + ptx::load(&header()->tail_keys_at)) +
           (h * capacity + i) * d_k;
  }
  ROTA_DEVICE E* value(index_t h, index_t i, std::uint32_t*) const {
    return reinterpret_cast<E*>(data + ptx::load(&header()->tail_values_at)) +
           (h * capacity + i) * d_v;
  }
  ROTA_DEVICE row_pair<E> row(index_t h, index_t i, std::uint32_t* fault) const {
    return {key(h, i, fault), value(h, i, fault)};
  }
  ROTA_DEVICE void advance(index_t n) const {
    ptx::store(&header()->tail_count,
               ptx::load(&header()->tail_count) + static_cast<std::int32_t>(n));
    ptx::store(&header()->next_position,
               ptx::load(&header()->next_position) + static_cast<std::int32_t>(n));
  }
  ROTA_DEVICE static errc too_few() { return errc::tail_too_short; }

 private:
  ROTA_DEVICE packed_header* header() const { return reinterpret_cast<packed_header*>(data); }
};

}  // namespace rota::cuda

#pragma once

#include <algorithm>

#include <rota/store/block.hpp>

namespace rota {

/// Every token whole, rows in order: the usual KV cache of one sequence and layer. The memory is
/// the caller's; the struct is a handle that counts what is in it.
template <element E>
struct dense_store {
  using element_type = E;
  static constexpr index_t block_tokens = 128;

  view<E, 3> keys;    ///< [kv_heads, capacity, d_k]
  view<E, 3> values;  ///< [kv_heads, capacity, d_v]
  index_t length = 0;
  position_t first_position = 0;
  /// For backends on a device: where in its memory the length lies; they use and advance it instead
  /// of `length`. Null: `length`.
  std::int32_t* device_length = nullptr;

  index_t kv_heads() const { return keys.extent[0]; }
  index_t capacity() const { return keys.extent[1]; }
  index_t d_k() const { return keys.extent[2]; }
  index_t d_v() const { return values.extent[2]; }
  index_t group_width() const { return d_v(); }
  position_t next_position() const { return static_cast<position_t>(first_position + length); }
  index_t block_count(index_t) const { return (length + block_tokens - 1) / block_tokens; }
  const float* means(index_t) const { return nullptr; }
  index_t bytes() const {
    return kv_heads() * capacity() * (d_k() + d_v()) * static_cast<index_t>(sizeof(E));
  }

  block<E> block_at(index_t head, index_t i) const {
    block<E> b;
    const index_t first = i * block_tokens;
    b.count = std::min(block_tokens, length - first);
    b.first_position = static_cast<position_t>(first_position + first);
    b.keys = keys.row(head, first);
    b.key_stride = keys.stride[1];
    b.values = values.row(head, first);
    b.value_stride = values.stride[1];
    return b;
  }

  status check() const {
    if (status s = check_view(keys, "store.keys"); !s) return s;
    if (status s = check_view(values, "store.values"); !s) return s;
    if (keys.extent[0] < 1 || keys.extent[2] < 1) return {errc::bad_shape, "store.keys"};
    if (values.extent[0] != keys.extent[0] || values.extent[1] != keys.extent[1] ||
        values.extent[2] < 1)
      return {errc::bad_shape, "store.values"};
    if (length < 0 || length > capacity()) return {errc::bad_count, "store.length"};
    if (first_position < 0 || first_position + length > INT32_MAX)
      return {errc::bad_position, "store.first_position"};
    return {};
  }
};

}  // namespace rota

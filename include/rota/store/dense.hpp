#pragma once

#include <algorithm>

#include <rota/store/block.hpp>

namespace rota {

/// Every token whole, rows in order: the usual KV cache of one sequence and layer. The memory is
/// the caller's; the struct is a handle that counts what is in it.
template <codec E>
struct dense_store {
  using element_type = E;
  /// A backend scores a block before it weighs it: fewer tokens are more starts, more do not stay
  /// in near caches.
  static constexpr index_t block_tokens =
      codec_traits<E>::sizes.key < 4 && codec_traits<E>::sizes.value < 4 ? 256 : 128;

  view<key_type_of<E>, 3> keys;      ///< [kv_heads, capacity, d_k]
  view<value_type_of<E>, 3> values;  ///< [kv_heads, capacity, d_v]
  view<scale_type, 2> key_scales;    ///< [kv_heads, capacity], where keys are int8
  view<scale_type, 2> value_scales;  ///< [kv_heads, capacity], where values are int8
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
    constexpr codec_sizes size = codec_traits<E>::sizes;
    return kv_heads() * capacity() *
           (d_k() * size.key + d_v() * size.value + size.key_scale + size.value_scale);
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
    if constexpr (codec_traits<E>::sizes.key_scale > 0) b.key_scales = key_scales.row(head) + first;
    if constexpr (codec_traits<E>::sizes.value_scale > 0) {
      b.value_scales = value_scales.row(head) + first;
      b.value_scale_stride = 1;
    }
    return b;
  }

  status check() const {
    if (status s = check_view(keys, "store.keys"); !s) return s;
    if (status s = check_view(values, "store.values"); !s) return s;
    if (keys.extent[0] < 1 || keys.extent[2] < 1) return {errc::bad_shape, "store.keys"};
    if (values.extent[0] != keys.extent[0] || values.extent[1] != keys.extent[1] ||
        values.extent[2] < 1)
      return {errc::bad_shape, "store.values"};
    if constexpr (codec_traits<E>::sizes.key_scale > 0)
      if (status s = check_scales(key_scales, "store.key_scales"); !s) return s;
    if constexpr (codec_traits<E>::sizes.value_scale > 0)
      if (status s = check_scales(value_scales, "store.value_scales"); !s) return s;
    if (length < 0 || length > capacity()) return {errc::bad_count, "store.length"};
    if (first_position < 0 || first_position + length > INT32_MAX)
      return {errc::bad_position, "store.first_position"};
    return {};
  }

 private:
  status check_scales(const view<scale_type, 2>& scales, const char* name) const {
    if (status s = check_view(scales, name); !s) return s;
    if (scales.extent[0] != kv_heads() || scales.extent[1] != capacity())
      return {errc::bad_shape, name};
    return {};
  }
};

}  // namespace rota

#pragma once

#include <rota/cuda/length.cuh>
#include <rota/policy/context.hpp>
#include <rota/policy/visibility.hpp>
#include <rota/select/selection.hpp>

namespace rota::cuda {

/// A context as the kernels of pack() read it. Where a store is routed again, heads hold different
/// tokens: each has its own positions and length.
template <element From>
struct pack_source {
  const From* keys;
  const From* values;
  index_t key_stride, key_head_stride;  ///< elements from token to token, and from head to head
  index_t value_stride, value_head_stride;
  const position_t* positions;    ///< null: 0, 1, 2, ...
  const group_mask* available;    ///< null: all
  index_t available_head_stride;  ///< rows are contiguous
  length_ref tokens;
  index_t position_head_stride = 0;  ///< 0: all heads have the same
  index_t length_head_stride = 0;    ///< of a length in device memory; 0: all heads have the same

  template <class... Parts>
  explicit pack_source(const context<From, Parts...>& c)
      : keys(c.keys.data),
        values(c.values.data),
        key_stride(c.keys.stride[0]),
        key_head_stride(c.keys.stride[1]),
        value_stride(c.values.stride[0]),
        value_head_stride(c.values.stride[1]),
        positions(c.positions.data),
        available(c.available.data),
        available_head_stride(c.available.stride[0]),
        tokens{c.tokens(), c.device_tokens} {}

  ROTA_DEVICE const From* key(index_t token, index_t head) const {
    return keys + token * key_stride + head * key_head_stride;
  }
  ROTA_DEVICE const From* value(index_t token, index_t head) const {
    return values + token * value_stride + head * value_head_stride;
  }
  ROTA_DEVICE position_t position(index_t token, index_t head = 0) const {
    return positions != nullptr ? ptx::load(positions + head * position_head_stride + token)
                                : static_cast<position_t>(token);
  }
  /// Of n tokens, how many first ones no query behind the last sees.
  ROTA_DEVICE index_t expired(index_t n, index_t window) const {
    return tokens_expired(n, window, [this](index_t i) { return position(i); });
  }
  /// Tokens of a head.
  ROTA_DEVICE index_t length(index_t head, std::uint32_t* fault) const {
    length_ref own = tokens;
    if (own.device != nullptr) own.device += head * length_head_stride;
    return own.get(fault);
  }
};

/// A selection as kernels read it.
struct kept_rows {
  const std::int32_t* indices;
  const group_mask* masks;
  const std::int32_t* counts;
  index_t index_stride, mask_stride;  ///< from head to head
  index_t capacity;

  explicit kept_rows(const selection& s)
      : indices(s.indices.data),
        masks(s.masks.data),
        counts(s.counts.data),
        index_stride(s.indices.stride[0]),
        mask_stride(s.masks.stride[0]),
        capacity(s.capacity() < s.masks.extent[1] ? s.capacity() : s.masks.extent[1]) {}

  ROTA_DEVICE index_t count(index_t h) const { return ptx::load(counts + h); }
  ROTA_DEVICE index_t index(index_t h, index_t i) const {
    return ptx::load(indices + h * index_stride + i);
  }
  ROTA_DEVICE group_mask mask(index_t h, index_t i) const {
    return ptx::load(masks + h * mask_stride + i);
  }
};

}  // namespace rota::cuda

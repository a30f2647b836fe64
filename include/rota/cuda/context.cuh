#pragma once

#include <rota/cuda/backend.cuh>
#include <rota/cuda/store/swizzle.cuh>
#include <rota/policy/context.hpp>

namespace rota::cuda {

/// Checks what a context's views say of themselves; what they hold is seen on the device.
template <element E, class... Parts>
status check_context_of(const backend& b, const context<E, Parts...>& c) {
  if (c.keys.extent[1] < 1 || c.keys.extent[2] < 1) return {errc::bad_shape, "keys"};
  if (c.values.extent[0] != c.keys.extent[0] || c.values.extent[1] != c.keys.extent[1] ||
      c.values.extent[2] < 1)
    return {errc::bad_shape, "values"};
  if (c.tokens() > INT32_MAX) return {errc::bad_shape, "keys"};
  if (c.sliding_window < 0) return {errc::bad_count, "sliding_window"};
  if (status s = check_rows(b, c.keys, chunk_bytes, "keys"); !s) return s;
  if (status s = check_rows(b, c.values, chunk_bytes, "values"); !s) return s;
  if (status s = check_memory(b, named_memory(c.device_tokens, "device_tokens")); !s) return s;
  if (c.available.data != nullptr) {
    if (status s = check_rows(b, c.available, alignof(group_mask), "available"); !s) return s;
    if (c.available.extent[0] != c.kv_heads() || c.available.extent[1] != c.tokens())
      return {errc::bad_shape, "available"};
  }
  if (c.positions.data == nullptr) return {};
  if (status s = check_rows(b, c.positions, alignof(position_t), "positions"); !s) return s;
  if (c.positions.extent[0] != c.tokens()) return {errc::bad_shape, "positions"};
  return {};
}

}  // namespace rota::cuda

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include <rota/store/packed.hpp>

namespace rota {

/// Checks what every store of a shape needs: sizes that exist, and sums of them that fit 64 bits.
inline status check_shape(const packed_shape& s) {
  if (s.kv_heads < 1 || s.record.d_k < 1 || s.record.d_v < 1) return {errc::bad_shape, "shape"};
  if (s.kv_heads > INT32_MAX || s.record.d_k > INT32_MAX || s.record.d_v > INT32_MAX)
    return {errc::bad_shape, "shape"};
  if (!legal_group_width(s.record.d_v, s.record.width, s.record.sizes.value))
    return {errc::bad_group_width, "d_v"};
  if (s.record.code_rank < 0 || s.record.code_rank > max_code_rank)
    return {errc::bad_count, "code_rank"};
  if (s.order != value_order::token_major && s.order != value_order::group_major)
    return {errc::bad_parameter, "order"};
  if (s.record_tokens < 1 || s.record_tokens > max_record_tokens)
    return {errc::bad_count, "record_tokens"};
  if (s.tail_capacity < 0 || s.tail_capacity > INT32_MAX) return {errc::bad_count, "tail_capacity"};
  // As many tokens as positions, whole, must have addresses.
  const double row = 4.0 * static_cast<double>(s.record.d_k + s.record.d_v);
  if (static_cast<double>(s.kv_heads) * row > 0x1p30) return {errc::bad_shape, "shape"};
  return {};
}

/// What the sealed records of a selection need. Same arithmetic as packing itself.
struct packed_size {
  index_t record_count = 0;
  index_t record_bytes = 0;
};

/// Kept groups of the tokens [first, last) of head h.
inline index_t count_slices(const selection& s, index_t h, index_t first, index_t last) {
  const group_mask* const masks = s.masks.row(h);
  index_t slices = 0, i = first;
  for (std::uint64_t four; i + 4 <= last; i += 4) {
    std::memcpy(&four, masks + i, sizeof four);
    slices += __builtin_popcountll(four);
  }
  for (; i < last; ++i) slices += __builtin_popcount(masks[i]);
  return slices;
}

inline index_t record_bytes(const packed_shape& shape, index_t tokens, index_t slices) {
  const value_order order = record_order(shape, tokens, slices);
  return layout_record(shape.record, order, tokens, slices).bytes;
}

/// Adds the records of one head: row `row` of the selection.
inline void measure_head(const packed_shape& shape, const selection& s, index_t row,
                         packed_size& size) {
  const index_t count = s.counts(row);
  for (index_t first = 0; first < count; first += shape.record_tokens) {
    const index_t last = std::min(first + shape.record_tokens, count);
    ++size.record_count;
    size.record_bytes += record_bytes(shape, last - first, count_slices(s, row, first, last));
  }
}

inline packed_size measure_packed(const packed_shape& shape, const selection& s) {
  packed_size size;
  for (index_t h = 0; h < s.kv_heads(); ++h) measure_head(shape, s, h, size);
  return size;
}

/// Bytes of the whole store that packing this selection makes: header, tables, means, records,
/// tail. 0 when no store can have such a shape.
inline index_t packed_bytes(const packed_shape& shape, const selection& s) {
  if (!check_shape(shape)) return 0;
  const packed_size size = measure_packed(shape, s);
  return static_cast<index_t>(layout_packed(shape, size.record_count, size.record_bytes).bytes);
}

/// The same without the tail, which budgets leave out: header, tables, means, records.
inline index_t packed_sealed_bytes(const packed_shape& shape, const selection& s) {
  const packed_size size = measure_packed(shape, s);
  return static_cast<index_t>(
      layout_packed(shape, size.record_count, size.record_bytes).tail_keys_at);
}

/// Bytes that no selection among n tokens can exceed: each record may be in the larger of its
/// two possible orders. 0 when no store can have such a shape, or so many tokens.
inline index_t packed_bytes_bound(const packed_shape& shape, index_t n) {
  if (!check_shape(shape) || n < 0 || n > INT32_MAX) return 0;
  const index_t per_head = (n + shape.record_tokens - 1) / shape.record_tokens;
  index_t bytes = 0;
  for (index_t first = 0; first < n; first += shape.record_tokens) {
    const index_t tokens = std::min(shape.record_tokens, n - first);
    const index_t slices = tokens * shape.record.groups();
    bytes += std::max(layout_whole(shape.record, tokens).bytes,
                      layout_record(shape.record, shape.order, tokens, slices).bytes);
  }
  return static_cast<index_t>(
      layout_packed(shape, shape.kv_heads * per_head, shape.kv_heads * bytes).bytes);
}

/// Sealed tokens, of all heads together, that no store of this shape of at most `bytes` bytes
/// exceeds: each has a key and a position at least.
inline index_t packed_tokens_bound(const packed_shape& shape, index_t bytes) {
  const auto empty = static_cast<index_t>(layout_packed(shape, 0, 0).bytes);
  return std::max<index_t>(0, bytes - empty) / (shape.record.key_bytes() + 4);
}

}  // namespace rota

#pragma once

#include <cstring>

#include <rota/cpu/pack/quantize.hpp>
#include <rota/policy/context.hpp>
#include <rota/store/packed_size.hpp>

namespace rota::cpu {

/// The rows of one kv head, wherever they lie.
template <element E>
struct head_rows {
  using element_type = E;
  const E* keys = nullptr;
  index_t key_stride = 0;
  const E* values = nullptr;
  index_t value_stride = 0;
  const position_t* positions = nullptr;  ///< null: 0, 1, 2, ...
  const group_mask* available = nullptr;  ///< null: all groups exist
  index_t tokens = 0;

  const E* key(index_t i) const { return keys + i * key_stride; }
  const E* value(index_t i) const { return values + i * value_stride; }
  position_t position(index_t i) const {
    return positions ? positions[i] : static_cast<position_t>(i);
  }
};

template <element E, class... Parts>
head_rows<E> rows_of(const context<E, Parts...>& c, index_t h) {
  head_rows<E> rows;
  rows.tokens = c.tokens();
  if (c.tokens() == 0) return rows;
  rows.keys = c.keys.row(0, h);
  rows.key_stride = c.keys.stride[0];
  rows.values = c.values.row(0, h);
  rows.value_stride = c.values.stride[0];
  rows.positions = c.positions.data;
  if (c.available.data != nullptr) rows.available = c.available.row(h);
  return rows;
}

namespace detail {

inline status check_store_memory(const std::byte* data, index_t capacity,
                                 const packed_header& header) {
  if (data == nullptr) return {errc::null_view, "store"};
  if (reinterpret_cast<std::uintptr_t>(data) % record_alignment != 0)
    return {errc::bad_alignment, "store"};
  if (capacity < 0 || static_cast<std::uint64_t>(capacity) < header.bytes)
    return {errc::store_too_small, "store"};
  return {};
}

/// Where a record's values lie, and their scales where the codec has them: slices are put one after
/// the other.
template <codec C>
struct slice_writer {
  value_type_of<C>* values = nullptr;
  scale_type* scales = nullptr;

  slice_writer(const record_layout& at, std::byte* record)
      : values(reinterpret_cast<value_type_of<C>*>(record + at.values)),
        scales(reinterpret_cast<scale_type*>(record + at.value_scales)) {}

  template <element From>
  void put(const From* slice, index_t width) {
    if constexpr (codec_traits<C>::sizes.value_scale > 0)
      *scales++ = quantize_row(slice, values, width);
    else
      convert_row(slice, values, width);
    values += width;
  }
};

/// Per group, the slices of the tokens that have it.
template <codec C, class Rows>
void write_group_major(const record_shape& s, const Rows& rows, const selection& sel, index_t h,
                       index_t first, index_t last, const record_layout& at, std::byte* record) {
  auto* starts = reinterpret_cast<std::uint16_t*>(record + at.starts);
  auto* members = reinterpret_cast<std::uint8_t*>(record + at.members);
  slice_writer<C> slices(at, record);
  std::uint16_t n = 0;
  for (index_t g = 0; g < s.groups(); ++g) {
    starts[g] = n;
    for (index_t i = first; i < last; ++i) {
      if (((sel.masks(h, i) >> g) & 1) == 0) continue;
      members[n++] = static_cast<std::uint8_t>(i - first);
      slices.put(rows.value(sel.indices(h, i)) + g * s.width, s.width);
    }
  }
  starts[s.groups()] = n;
}

/// A token's kept slices together, then the next token's.
template <codec C, class Rows>
void write_token_major(const record_shape& s, const Rows& rows, const selection& sel, index_t h,
                       index_t first, index_t last, const record_layout& at, std::byte* record) {
  auto* masks = reinterpret_cast<group_mask*>(record + at.masks);
  auto* starts = reinterpret_cast<std::uint16_t*>(record + at.starts);
  slice_writer<C> slices(at, record);
  std::uint16_t n = 0;
  for (index_t i = first; i < last; ++i) {
    const group_mask mask = sel.masks(h, i);
    masks[i - first] = mask;
    starts[i - first] = n;
    for (index_t g = 0; g < s.groups(); ++g) {
      if (((mask >> g) & 1) == 0) continue;
      slices.put(rows.value(sel.indices(h, i)) + g * s.width, s.width);
      ++n;
    }
  }
  starts[last - first] = n;
}

/// Positions and keys of a record, with their scales.
template <codec C, class Rows>
void write_keys(const record_shape& s, const Rows& rows, const selection& sel, index_t h,
                index_t first, index_t last, const record_layout& at, std::byte* record) {
  auto* positions = reinterpret_cast<position_t*>(record + at.positions);
  auto* keys = reinterpret_cast<key_type_of<C>*>(record + at.keys);
  [[maybe_unused]] auto* scales = reinterpret_cast<scale_type*>(record + at.key_scales);
  for (index_t i = first; i < last; ++i, keys += s.d_k) {
    const index_t source = sel.indices(h, i);
    *positions++ = rows.position(source);
    if constexpr (codec_traits<C>::sizes.key_scale > 0)
      *scales++ = quantize_row(rows.key(source), keys, s.d_k);
    else
      convert_row(rows.key(source), keys, s.d_k);
  }
}

/// Values of a record that drops nothing, each group a slice of its own.
template <codec C, class Rows>
void write_whole(const record_shape& s, const Rows& rows, const selection& sel, index_t h,
                 index_t first, index_t last, const record_layout& at, std::byte* record) {
  slice_writer<C> slices(at, record);
  // A whole row at once where nothing is kept of each slice beside it.
  const index_t width = s.sizes.value_scale > 0 ? s.width : s.d_v;
  for (index_t i = first; i < last; ++i)
    for (index_t c = 0; c < s.d_v; c += width) slices.put(rows.value(sel.indices(h, i)) + c, width);
}

template <codec C, class Rows>
void write_record(const packed_shape& shape, const Rows& rows, const selection& sel, index_t h,
                  index_t first, index_t last, std::byte* record) {
  const record_shape& s = shape.record;
  const index_t tokens = last - first;
  const index_t slices = count_slices(sel, h, first, last);
  const value_order order = record_order(shape, tokens, slices);
  const record_layout at = layout_record(s, order, tokens, slices);
  std::memset(record, 0, static_cast<std::size_t>(at.keys));  // index sections and their slack

  record_header header;
  header.tokens = static_cast<std::uint16_t>(tokens);
  header.order = static_cast<std::uint8_t>(order);
  header.slices = static_cast<std::uint32_t>(slices);
  header.bytes = static_cast<std::uint64_t>(at.bytes);
  std::memcpy(record, &header, sizeof header);

  write_keys<C>(s, rows, sel, h, first, last, at, record);
  if (order == value_order::whole) write_whole<C>(s, rows, sel, h, first, last, at, record);
  if (order == value_order::group_major)
    write_group_major<C>(s, rows, sel, h, first, last, at, record);
  if (order == value_order::token_major)
    write_token_major<C>(s, rows, sel, h, first, last, at, record);
}

}  // namespace detail
}  // namespace rota::cpu

#pragma once

#include <algorithm>
#include <cstring>
#include <iterator>

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

/// Where a record's values lie, and their scales where the codec has them: slices of W elements are
/// put one after the other.
template <codec C, int W>
struct slice_writer {
  value_type_of<C>* values = nullptr;
  scale_type* scales = nullptr;

  slice_writer(const record_layout& at, std::byte* record)
      : values(reinterpret_cast<value_type_of<C>*>(record + at.values)),
        scales(reinterpret_cast<scale_type*>(record + at.value_scales)) {}

  template <element From>
  void put(const From* slice) {
    if constexpr (codec_traits<C>::sizes.value_scale > 0)
      *scales++ = quantize_row(slice, values, W);
    else
      convert_row(slice, values, W);
    values += W;
  }
};

/// Writes which of up to max_record_tokens masks have group g, ascending; returns how many. One
/// more byte may be written. Without a branch: a mask is not to be guessed.
inline index_t list_members(const group_mask* masks, index_t tokens, index_t g,
                            std::uint8_t* members) {
  index_t n = 0;
  for (index_t i = 0; i < tokens; ++i) {
    members[n] = static_cast<std::uint8_t>(i);
    n += masks[i] >> g & 1;
  }
  return n;
}

/// Per group, the slices of the tokens that have it.
template <codec C, int W, class Rows>
void write_group_major(const record_shape& s, const Rows& rows, const selection& sel, index_t h,
                       index_t first, index_t last, const record_layout& at, std::byte* record) {
  auto* starts = reinterpret_cast<std::uint16_t*>(record + at.starts);
  auto* members = reinterpret_cast<std::uint8_t*>(record + at.members);
  const std::int32_t* const sources = sel.indices.row(h) + first;
  slice_writer<C, W> slices(at, record);
  std::uint8_t own[max_record_tokens + 1];
  index_t n = 0;
  for (index_t g = 0; g < s.groups(); ++g) {
    starts[g] = static_cast<std::uint16_t>(n);
    const index_t count = list_members(sel.masks.row(h) + first, last - first, g, own);
    std::memcpy(members + n, own, static_cast<std::size_t>(count));
    for (index_t i = 0; i < count; ++i) slices.put(rows.value(sources[own[i]]) + g * W);
    n += count;
  }
  starts[s.groups()] = static_cast<std::uint16_t>(n);
}

/// A token's kept slices together, then the next token's.
template <codec C, int W, class Rows>
void write_token_major(const Rows& rows, const selection& sel, index_t h, index_t first,
                       index_t last, const record_layout& at, std::byte* record) {
  auto* masks = reinterpret_cast<group_mask*>(record + at.masks);
  auto* starts = reinterpret_cast<std::uint16_t*>(record + at.starts);
  slice_writer<C, W> slices(at, record);
  std::uint16_t n = 0;
  for (index_t i = first; i < last; ++i) {
    const group_mask mask = sel.masks(h, i);
    const auto* const value = rows.value(sel.indices(h, i));
    masks[i - first] = mask;
    starts[i - first] = n;
    n = static_cast<std::uint16_t>(n + __builtin_popcount(mask));
    for (unsigned left = mask; left != 0; left &= left - 1)
      slices.put(value + __builtin_ctz(left) * W);
  }
  starts[last - first] = n;
}

/// The cache lines of a value row that a token with a given mask needs.
class value_lines {
 public:
  /// `slice`: bytes of a group, `row`: of all of them.
  value_lines(std::size_t slice, std::size_t row) {
    for (std::size_t at = 0; at < row && count_ < std::size(groups_); at += line_bytes) {
      const std::size_t end = std::min(at + line_bytes, row);
      group_mask groups = 0;
      for (std::size_t g = at / slice; g * slice < end; ++g)
        groups = static_cast<group_mask>(groups | 1u << g);
      groups_[count_++] = groups;
    }
  }

  void prefetch(const void* row, group_mask mask) const {
    const auto start = reinterpret_cast<std::uintptr_t>(row);
    // Without a branch, too: what is not needed asks for the row's address twice.
    const auto spare = reinterpret_cast<std::uintptr_t>(this);
    for (std::size_t i = 0; i < count_; ++i)
      simd::prefetch((mask & groups_[i]) != 0 ? start + i * line_bytes : spare);
  }

 private:
  static constexpr std::size_t line_bytes = 64;
  group_mask groups_[16] = {};
  std::size_t count_ = 0;
};

/// Positions and keys of a record, with their scales. Asks for the values on the way.
template <codec C, class Rows>
void write_keys(const record_shape& s, const Rows& rows, const selection& sel, index_t h,
                index_t first, index_t last, const record_layout& at, std::byte* record) {
  using From = typename Rows::element_type;
  auto* positions = reinterpret_cast<position_t*>(record + at.positions);
  auto* keys = reinterpret_cast<key_type_of<C>*>(record + at.keys);
  [[maybe_unused]] auto* scales = reinterpret_cast<scale_type*>(record + at.key_scales);
  const value_lines lines(static_cast<std::size_t>(s.width) * sizeof(From),
                          static_cast<std::size_t>(s.d_v) * sizeof(From));
  for (index_t i = first; i < last; ++i, keys += s.d_k) {
    const index_t source = sel.indices(h, i);
    lines.prefetch(rows.value(source), sel.masks(h, i));
    *positions++ = rows.position(source);
    if constexpr (codec_traits<C>::sizes.key_scale > 0)
      *scales++ = quantize_row(rows.key(source), keys, s.d_k);
    else
      convert_row(rows.key(source), keys, s.d_k);
  }
}

/// Values of a record that drops nothing, each group a slice of its own.
template <codec C, int W, class Rows>
void write_whole(const record_shape& s, const Rows& rows, const selection& sel, index_t h,
                 index_t first, index_t last, const record_layout& at, std::byte* record) {
  slice_writer<C, W> slices(at, record);
  for (index_t i = first; i < last; ++i) {
    const auto* const value = rows.value(sel.indices(h, i));
    for (index_t c = 0; c < s.d_v; c += W) slices.put(value + c);
  }
}

template <codec C, int W, class Rows>
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
  if (order == value_order::whole) write_whole<C, W>(s, rows, sel, h, first, last, at, record);
  if (order == value_order::group_major)
    write_group_major<C, W>(s, rows, sel, h, first, last, at, record);
  if (order == value_order::token_major)
    write_token_major<C, W>(rows, sel, h, first, last, at, record);
}

}  // namespace detail
}  // namespace rota::cpu

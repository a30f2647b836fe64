#pragma once

#include <algorithm>
#include <cstring>
#include <iterator>

#include <rota/cpu/pack/quantize.hpp>
#include <rota/cpu/simd/bits.hpp>
#include <rota/cpu/simd/stream.hpp>
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

using simd::line_bytes;

inline status check_store_memory(const std::byte* data, index_t capacity,
                                 const packed_header& header) {
  if (data == nullptr) return {errc::null_view, "store"};
  if (reinterpret_cast<std::uintptr_t>(data) % record_alignment != 0)
    return {errc::bad_alignment, "store"};
  if (capacity < 0 || static_cast<std::uint64_t>(capacity) < header.bytes)
    return {errc::store_too_small, "store"};
  return {};
}

inline namespace ROTA_CPU_ISA {

/// Rows or slices of n elements that a record keeps one after the other, and their scales where the
/// codec has them. Those wait until there are as many as are quantized together; `n` is an index_t
/// or a constant that converts to it.
template <class Stored, element From, class Count>
class row_writer {
 public:
  row_writer(std::byte* rows, std::byte* scales, Count n)
      : to_(reinterpret_cast<Stored*>(rows)),
        scales_(reinterpret_cast<scale_type*>(scales)),
        n_(n) {}

  /// `from` stays as it is until finish().
  [[gnu::always_inline]] void put(const From* from) {
    if constexpr (rota::detail::is_scaled<Stored>) {
      waiting_[count_++] = from;
      if (count_ < simd::lanes) return;
      quantize_rows(waiting_, to_, scales_, n_);
      move_on(simd::lanes);
      count_ = 0;
    } else {
      convert_row(from, to_, n_);
      move_on(1);
    }
  }

  void finish() {
    if constexpr (rota::detail::is_scaled<Stored>)
      for (int i = 0; i < count_; ++i) {
        *scales_ = quantize_row(waiting_[i], to_, n_);
        move_on(1);
      }
    count_ = 0;
  }

 private:
  void move_on(index_t rows) {
    to_ += rows * n_;
    scales_ += rows;
  }

  Stored* to_;
  scale_type* scales_;
  Count n_;
  const From* waiting_[simd::lanes];
  int count_ = 0;
};

/// The values of a record: slices of W elements of rows of `From`.
template <codec C, int W, element From>
auto slice_writer(const record_layout& at, std::byte* record) {
  using width = std::integral_constant<index_t, W>;
  return row_writer<value_type_of<C>, From, width>(record + at.values, record + at.value_scales,
                                                   width{});
}

}  // namespace ROTA_CPU_ISA

/// Per group, the slices of the tokens that have it.
template <codec C, int W, class Rows>
void write_group_major(const record_shape& s, const Rows& rows, const selection& sel, index_t h,
                       index_t first, index_t last, const record_layout& at, std::byte* record) {
  auto* starts = reinterpret_cast<std::uint16_t*>(record + at.starts);
  auto* members = reinterpret_cast<std::uint8_t*>(record + at.members);
  const std::int32_t* const sources = sel.indices.row(h) + first;
  auto slices = slice_writer<C, W, typename Rows::element_type>(at, record);
  std::uint8_t own[max_record_tokens + 64];
  index_t n = 0;
  for (index_t g = 0; g < s.groups(); ++g) {
    starts[g] = static_cast<std::uint16_t>(n);
    const index_t count =
        simd::list_with_bit(sel.masks.row(h) + first, last - first, static_cast<int>(g), own);
    std::memcpy(members + n, own, static_cast<std::size_t>(count));
    for (index_t i = 0; i < count; ++i) slices.put(rows.value(sources[own[i]]) + g * W);
    n += count;
  }
  slices.finish();
  starts[s.groups()] = static_cast<std::uint16_t>(n);
}

/// A token's kept slices together, then the next token's.
template <codec C, int W, class Rows>
void write_token_major(const Rows& rows, const selection& sel, index_t h, index_t first,
                       index_t last, const record_layout& at, std::byte* record) {
  auto* masks = reinterpret_cast<group_mask*>(record + at.masks);
  auto* starts = reinterpret_cast<std::uint16_t*>(record + at.starts);
  auto slices = slice_writer<C, W, typename Rows::element_type>(at, record);
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
  slices.finish();
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
  group_mask groups_[16] = {};
  std::size_t count_ = 0;
};

template <element E>
void prefetch_row(const E* row, index_t n) {
  const auto start = reinterpret_cast<std::uintptr_t>(row);
  for (std::size_t at = 0; at < static_cast<std::size_t>(n) * sizeof(E); at += line_bytes)
    simd::prefetch(start + at);
}

/// Positions and keys of a record, with their scales. Asks for the values on the way.
template <codec C, class Rows>
void write_keys(const record_shape& s, const Rows& rows, const selection& sel, index_t h,
                index_t first, index_t last, const record_layout& at, std::byte* record) {
  using From = typename Rows::element_type;
  auto* positions = reinterpret_cast<position_t*>(record + at.positions);
  row_writer<key_type_of<C>, From, index_t> keys(record + at.keys, record + at.key_scales, s.d_k);
  const value_lines lines(static_cast<std::size_t>(s.width) * sizeof(From),
                          static_cast<std::size_t>(s.d_v) * sizeof(From));
  constexpr index_t ahead = 16;
  const auto ask_for_key = [&](index_t i) { prefetch_row(rows.key(sel.indices(h, i)), s.d_k); };
  for (index_t i = first; i < std::min(first + ahead, last); ++i) ask_for_key(i);
  for (index_t i = first; i < last; ++i) {
    const index_t source = sel.indices(h, i);
    if (i + ahead < last) ask_for_key(i + ahead);
    lines.prefetch(rows.value(source), sel.masks(h, i));
    *positions++ = rows.position(source);
    keys.put(rows.key(source));
  }
  keys.finish();
}

/// Values of a record that drops nothing, each group a slice of its own.
template <codec C, int W, class Rows>
void write_whole(const record_shape& s, const Rows& rows, const selection& sel, index_t h,
                 index_t first, index_t last, const record_layout& at, std::byte* record) {
  auto slices = slice_writer<C, W, typename Rows::element_type>(at, record);
  for (index_t i = first; i < last; ++i) {
    const auto* const value = rows.value(sel.indices(h, i));
    for (index_t c = 0; c < s.d_v; c += W) slices.put(value + c);
  }
  slices.finish();
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

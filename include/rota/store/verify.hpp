#pragma once

#include <rota/store/packed_size.hpp>

// Operators trust the index of a packed store, as they trust a pointer: check() looks at the header
// only, so that a decode step costs nothing. Memory that somebody else filled (a file, a network)
// goes through verify() once, and is then as safe to attend over as memory that pack() wrote.

namespace rota {
namespace detail {

/// a * b + c of numbers that are not negative; -1 when it does not fit, or when one of them is -1.
constexpr index_t add_product(index_t a, index_t b, index_t c) {
  index_t product = 0, sum = 0;
  if (a < 0 || b < 0 || c < 0) return -1;
  if (__builtin_mul_overflow(a, b, &product) || __builtin_add_overflow(product, c, &sum)) return -1;
  return sum;
}

/// The shape that a header claims.
inline packed_shape shape_of(const packed_header& h, const codec_sizes& sizes) {
  packed_shape s;
  s.kv_heads = h.kv_heads;
  s.record = {h.d_k, h.d_v, h.width, sizes, h.code_rank};
  s.order = static_cast<value_order>(h.order);
  s.record_tokens = h.record_tokens;
  s.tail_capacity = h.tail_capacity;
  s.element_code = h.element_code;
  s.fill_code = h.fill_code;
  s.has_means = h.has_means != 0;
  return s;
}

/// Bytes of a token in the tail of one head: key, value, scales. Dimensions are 32-bit numbers.
constexpr index_t tail_row_bytes(const record_shape& s) {
  return s.key_bytes() + s.value_bytes() + s.sizes.key_scale + s.groups() * s.sizes.value_scale;
}

/// Whether the header's numbers agree with each other and with its own byte count.
inline bool header_holds(const packed_header& h, const codec_sizes& sizes) {
  const packed_shape s = shape_of(h, sizes);
  if (!check_shape(s) || h.has_means > 1 || (h.has_means != 0 && h.code_rank != 0) ||
      s.record_tokens < 1 || s.record_tokens > max_record_tokens)
    return false;
  if (s.order != value_order::token_major && s.order != value_order::group_major) return false;
  if (h.tail_count < 0 || h.tail_count > h.tail_capacity || h.next_position < h.tail_count)
    return false;
  // Bounds first, so that the arithmetic of the layout cannot overflow: nothing is larger than all.
  const auto all = static_cast<index_t>(h.bytes);
  const index_t row = tail_row_bytes(s.record);
  const index_t tail = add_product(add_product(row, s.tail_capacity, 0), s.kv_heads, 0);
  const index_t fill = add_product(s.fill_bytes(), s.kv_heads, 0);
  if (tail < 0 || tail > all || fill < 0 || fill > all) return false;
  if (s.kv_heads > all || h.record_count > h.bytes / 8) return false;
  if (h.records_at > h.tail_keys_at || h.tail_keys_at > h.bytes) return false;
  const packed_header want = layout_packed(s, static_cast<index_t>(h.record_count),
                                           static_cast<index_t>(h.tail_keys_at - h.records_at));
  return h.fill_at == want.fill_at && h.records_at == want.records_at &&
         h.tail_keys_at == want.tail_keys_at && h.tail_values_at == want.tail_values_at &&
         h.bytes == want.bytes;
}

/// Whether the index of a token-major record tells of `slices` slices, each token its own.
template <codec E>
bool masks_hold(const block<E>& b, int groups, index_t slices) {
  if (b.starts[0] != 0 || b.starts[b.count] != slices) return false;
  for (index_t j = 0; j < b.count; ++j) {
    if ((b.masks[j] & ~full_mask(groups)) != 0) return false;
    if (b.starts[j + 1] - b.starts[j] != __builtin_popcount(b.masks[j])) return false;
  }
  return true;
}

/// Whether the lists of a group-major record name each of its tokens at most once a group.
template <codec E>
bool lists_hold(const block<E>& b, int groups, index_t slices) {
  if (b.starts[0] != 0 || b.starts[groups] != slices) return false;
  for (int s = 0; s < groups; ++s) {
    if (b.starts[s + 1] < b.starts[s] || b.starts[s + 1] > slices) return false;
    for (index_t i = b.starts[s]; i < b.starts[s + 1]; ++i) {
      if (b.members[i] >= b.count) return false;
      if (i > b.starts[s] && b.members[i] <= b.members[i - 1]) return false;
    }
  }
  return true;
}

/// Whether a record lies in the store's section of records and agrees with the store's shape.
inline bool record_fits(const packed_header& h, const packed_shape& s, const std::byte* memory,
                        std::uint64_t at) {
  if (at % record_alignment != 0 || at < h.records_at || at > h.tail_keys_at ||
      h.tail_keys_at - at < sizeof(record_header))
    return false;
  const auto& r = *reinterpret_cast<const record_header*>(memory + at);
  if (r.tokens < 1 || r.tokens > s.record_tokens) return false;
  if (r.slices > r.tokens * static_cast<std::uint64_t>(s.record.groups())) return false;
  const auto order = static_cast<value_order>(r.order);
  if (order != record_order(s, r.tokens, r.slices)) return false;
  const index_t bytes = layout_record(s.record, order, r.tokens, r.slices).bytes;
  return r.bytes == static_cast<std::uint64_t>(bytes) && r.bytes <= h.tail_keys_at - at;
}

/// Whether a head's records are sound and its positions ascend, all of them before the tail's.
template <codec E, int W>
bool head_holds(const packed_store<E, W>& store, index_t h) {
  const packed_header& header = store.header();
  const packed_shape shape = shape_of(header, codec_traits<E>::sizes);
  const packed_head& head = store.head(h);
  const int groups = static_cast<int>(shape.record.groups());
  const index_t end = header.next_position - header.tail_count;
  std::uint64_t tokens = 0, slices = 0;
  index_t before = -1;
  for (std::uint64_t i = 0; i < head.record_count; ++i) {
    const std::uint64_t at = store.record_offsets()[head.first_record + i];
    if (!record_fits(header, shape, store.data, at)) return false;
    const index_t own = reinterpret_cast<const record_header*>(store.data + at)->slices;
    const block<E> b = store.block_at(h, static_cast<index_t>(i));
    if (b.order == value_order::token_major && !masks_hold(b, groups, own)) return false;
    if (b.order == value_order::group_major && !lists_hold(b, groups, own)) return false;
    for (index_t j = 0; j < b.count; before = b.positions[j++])
      if (b.positions[j] <= before || b.positions[j] >= end) return false;
    tokens += static_cast<std::uint64_t>(b.count);
    slices += static_cast<std::uint64_t>(own);
  }
  return head.tokens == tokens && head.slices == slices;
}

}  // namespace detail

/// check(), and then every offset, count, mask and list of the store: after it, no operator reads
/// outside store.bytes(). bad_store where something does not hold. Reads the index, not the keys
/// and values; keys and values may be any numbers.
template <codec E, int W>
status verify(const packed_store<E, W>& store) {
  if (status s = store.check(); !s) return s;
  const status bad{errc::bad_store, "store"};
  const packed_header& header = store.header();
  if (!detail::header_holds(header, codec_traits<E>::sizes)) return bad;
  std::uint64_t records = 0;
  for (index_t h = 0; h < store.kv_heads(); ++h) {
    const packed_head& head = store.head(h);
    if (head.first_record != records || head.record_count > header.record_count - records)
      return bad;
    records += head.record_count;
    if (!detail::head_holds(store, h)) return bad;
  }
  return records == header.record_count ? status{} : bad;
}

}  // namespace rota

#pragma once

#include <algorithm>
#include <cstring>

#include <rota/core/record.hpp>
#include <rota/select/selection.hpp>
#include <rota/store/block.hpp>

namespace rota {

/// Run-time shape of a packed store of one sequence and layer.
struct packed_shape {
  index_t kv_heads = 0;
  record_shape record;
  value_order order = value_order::group_major;
  index_t record_tokens = 256;
  index_t tail_capacity = 0;  ///< tokens that can be appended before tail_full
  std::uint8_t element_code = 0;
  std::uint8_t fill_code = 0;
  bool has_means = false;

  /// Bytes of what a head's dropped groups are filled from: means, or the decoder of codes.
  ROTA_HD constexpr index_t fill_bytes() const {
    return has_means ? record.d_v * 4 : record.code_bytes() * record.d_v;
  }
};

/// A packed store is one block of memory that starts with this; offsets are from its start, so it
/// can be copied, moved and written to a file as it is.
///
///   header | heads | record offsets | fill | records ... | tail keys | tail values | tail scales
///
/// The fill section has means as floats [kv_heads, d_v], or the decoder of a low-rank fill in the
/// codec's code type [kv_heads, code_rank, d_v], or nothing. Scales are there where the codec has
/// any.
struct packed_header {
  char magic[8];
  std::uint32_t version;
  std::uint8_t element_code;
  std::uint8_t order;
  std::uint8_t fill_code;
  std::uint8_t has_means;
  std::int32_t kv_heads, d_k, d_v, width;
  std::int32_t record_tokens, tail_capacity, tail_count;
  std::int32_t next_position;
  std::uint64_t record_count;
  std::uint64_t fill_at, records_at, tail_keys_at, tail_values_at;
  std::uint64_t bytes;
  std::int32_t code_rank;
  std::int32_t reserved_word;
  std::uint64_t reserved[3];
};
static_assert(sizeof(packed_header) == 128);

inline constexpr char packed_magic[8] = {'R', 'O', 'T', 'A', 'P', 'A', 'C', 'K'};
inline constexpr std::uint32_t packed_version = 1;

/// One kv head's run of records in the offset table.
struct packed_head {
  std::uint64_t first_record = 0;
  std::uint64_t record_count = 0;
  std::uint64_t tokens = 0;
  std::uint64_t slices = 0;
};

/// Where the scales of a tail of `rows` rows, all heads together, lie: behind its values.
struct tail_scales {
  index_t keys = 0;    ///< scale_type[kv_heads, tail capacity]
  index_t values = 0;  ///< scale_type[kv_heads, tail capacity, groups]
  index_t end = 0;     ///< of the store

  ROTA_HD constexpr tail_scales(const record_shape& s, index_t rows, index_t tail_values_at) {
    keys = align_up(tail_values_at + rows * s.value_bytes(), record_alignment);
    values = keys + rows * s.sizes.key_scale;
    end = align_up(values + rows * s.groups() * s.sizes.value_scale, record_alignment);
  }
};

/// Offsets of the parts of a packed store whose sealed records need `record_bytes` in all.
ROTA_HD inline packed_header layout_packed(const packed_shape& s, index_t record_count,
                                           index_t record_bytes) {
  constexpr char magic[8] = {'R', 'O', 'T', 'A', 'P', 'A', 'C', 'K'};  // packed_magic
  packed_header h{};
  for (int i = 0; i < 8; ++i) h.magic[i] = magic[i];
  h.version = packed_version;
  h.element_code = s.element_code;
  h.order = static_cast<std::uint8_t>(s.order);
  h.fill_code = s.fill_code;
  h.has_means = s.has_means;
  h.kv_heads = static_cast<std::int32_t>(s.kv_heads);
  h.d_k = static_cast<std::int32_t>(s.record.d_k);
  h.d_v = static_cast<std::int32_t>(s.record.d_v);
  h.width = static_cast<std::int32_t>(s.record.width);
  h.record_tokens = static_cast<std::int32_t>(s.record_tokens);
  h.tail_capacity = static_cast<std::int32_t>(s.tail_capacity);
  h.code_rank = static_cast<std::int32_t>(s.record.code_rank);
  h.record_count = static_cast<std::uint64_t>(record_count);
  const index_t tail_rows = s.kv_heads * s.tail_capacity;
  const index_t fill_at = static_cast<index_t>(sizeof(packed_header)) +
                          s.kv_heads * static_cast<index_t>(sizeof(packed_head)) + record_count * 8;
  const index_t records_at = align_up(fill_at + s.kv_heads * s.fill_bytes(), record_alignment);
  const index_t tail_keys_at = records_at + record_bytes;
  const index_t tail_values_at =
      align_up(tail_keys_at + tail_rows * s.record.key_bytes(), record_alignment);
  h.fill_at = static_cast<std::uint64_t>(fill_at);
  h.records_at = static_cast<std::uint64_t>(records_at);
  h.tail_keys_at = static_cast<std::uint64_t>(tail_keys_at);
  h.tail_values_at = static_cast<std::uint64_t>(tail_values_at);
  const tail_scales scales(s.record, s.kv_heads * s.tail_capacity, tail_values_at);
  h.bytes = static_cast<std::uint64_t>(scales.end);
  return h;
}

/// The order in which a record of `tokens` tokens with `slices` kept groups is stored: nothing
/// dropped needs no index.
ROTA_HD constexpr value_order record_order(const packed_shape& s, index_t tokens, index_t slices) {
  return slices == tokens * s.record.groups() ? value_order::whole : s.order;
}

ROTA_HD constexpr record_layout layout_record(const record_shape& s, value_order order,
                                              index_t tokens, index_t slices) {
  switch (order) {
    case value_order::whole:
      return layout_whole(s, tokens);
    case value_order::token_major:
      return layout_token_major(s, tokens, slices);
    case value_order::group_major:
      break;
  }
  return layout_group_major(s, tokens, slices);
}

/// Handle to a packed store of codec E whose groups are W elements wide. The memory is the
/// caller's and aligned to record_alignment. cpu::pack() writes it; append() fills its tail.
template <codec E, int W>
struct packed_store {
  using element_type = E;
  using key_type = key_type_of<E>;
  using value_type = value_type_of<E>;
  using code_type = code_type_of<E>;
  static constexpr index_t tail_block_tokens = 64;

  std::byte* data = nullptr;
  index_t capacity_bytes = 0;

  const packed_header& header() const { return *reinterpret_cast<const packed_header*>(data); }
  packed_header& header() { return *reinterpret_cast<packed_header*>(data); }

  index_t kv_heads() const { return header().kv_heads; }
  index_t d_k() const { return header().d_k; }
  index_t d_v() const { return header().d_v; }
  index_t group_width() const { return W; }
  position_t next_position() const { return data == nullptr ? 0 : header().next_position; }
  index_t tail_count() const { return header().tail_count; }
  index_t tail_capacity() const { return header().tail_capacity; }
  index_t bytes() const { return data == nullptr ? 0 : static_cast<index_t>(header().bytes); }
  /// Memory of the tail, which budgets and ratios leave out on both sides.
  index_t tail_bytes() const {
    return static_cast<index_t>(header().bytes - header().tail_keys_at);
  }
  index_t sealed_bytes() const { return static_cast<index_t>(header().tail_keys_at); }

  const packed_head& head(index_t h) const {
    return reinterpret_cast<const packed_head*>(data + sizeof(packed_header))[h];
  }
  const std::uint64_t* record_offsets() const {
    return reinterpret_cast<const std::uint64_t*>(
        data + sizeof(packed_header) + sizeof(packed_head) * static_cast<std::size_t>(kv_heads()));
  }
  const float* means(index_t h) const {
    if (!header().has_means) return nullptr;
    return reinterpret_cast<const float*>(data + header().fill_at) + h * d_v();
  }
  index_t code_rank() const { return header().code_rank; }
  /// [code_rank, d_v] of a low-rank fill, or null.
  const code_type* decoder(index_t h) const {
    if (code_rank() == 0) return nullptr;
    return reinterpret_cast<const code_type*>(data + header().fill_at) + h * code_rank() * d_v();
  }

  key_type* tail_key(index_t h, index_t i) const {
    return reinterpret_cast<key_type*>(data + header().tail_keys_at) +
           (h * tail_capacity() + i) * d_k();
  }
  value_type* tail_value(index_t h, index_t i) const {
    return reinterpret_cast<value_type*>(data + header().tail_values_at) +
           (h * tail_capacity() + i) * d_v();
  }
  /// Of tail key i of head h; null where keys have no scales.
  scale_type* tail_key_scale(index_t h, index_t i) const {
    if constexpr (codec_traits<E>::sizes.key_scale == 0) return nullptr;
    return reinterpret_cast<scale_type*>(data + tail_scales_of().keys) + h * tail_capacity() + i;
  }
  /// [groups] of tail value i of head h; null where values have no scales.
  scale_type* tail_value_scales(index_t h, index_t i) const {
    if constexpr (codec_traits<E>::sizes.value_scale == 0) return nullptr;
    return reinterpret_cast<scale_type*>(data + tail_scales_of().values) +
           (h * tail_capacity() + i) * (d_v() / W);
  }

  index_t sealed_blocks(index_t h) const { return static_cast<index_t>(head(h).record_count); }
  index_t block_count(index_t h) const {
    return sealed_blocks(h) + (tail_count() + tail_block_tokens - 1) / tail_block_tokens;
  }

  block<E> block_at(index_t h, index_t i) const {
    if (i >= sealed_blocks(h)) return tail_block(h, (i - sealed_blocks(h)) * tail_block_tokens);
    const index_t number = static_cast<index_t>(head(h).first_record) + i;
    return record_block(data + record_offsets()[number]);
  }

  record_shape shape() const { return {d_k(), d_v(), W, codec_traits<E>::sizes, code_rank()}; }

  /// Whether the memory holds a store of this type that fits into it.
  status check() const {
    if (data == nullptr) return {errc::null_view, "store"};
    if (reinterpret_cast<std::uintptr_t>(data) % record_alignment != 0)
      return {errc::bad_alignment, "store"};
    if (capacity_bytes < static_cast<index_t>(sizeof(packed_header)))
      return {errc::bad_store, "store"};
    const packed_header& h = header();
    const bool same = std::memcmp(h.magic, packed_magic, sizeof h.magic) == 0 &&
                      h.version == packed_version && h.width == W &&
                      h.element_code == codec_traits<E>::code;
    if (!same || h.bytes > static_cast<std::uint64_t>(capacity_bytes))
      return {errc::bad_store, "store"};
    return {};
  }

 private:
  tail_scales tail_scales_of() const {
    return {shape(), kv_heads() * tail_capacity(), static_cast<index_t>(header().tail_values_at)};
  }

  block<E> tail_block(index_t h, index_t first) const {
    block<E> b;
    b.count = std::min(tail_block_tokens, tail_count() - first);
    b.first_position = static_cast<position_t>(next_position() - tail_count() + first);
    b.keys = tail_key(h, first);
    b.key_stride = d_k();
    b.values = tail_value(h, first);
    b.value_stride = d_v();
    b.key_scales = tail_key_scale(h, first);
    b.value_scales = tail_value_scales(h, first);
    b.value_scale_stride = d_v() / W;
    return b;
  }

  block<E> record_block(const std::byte* record) const {
    const auto& r = *reinterpret_cast<const record_header*>(record);
    block<E> b;
    b.count = r.tokens;
    b.order = static_cast<value_order>(r.order);
    const record_layout at = layout_record(shape(), b.order, r.tokens, r.slices);
    b.positions = reinterpret_cast<const position_t*>(record + at.positions);
    b.keys = reinterpret_cast<const key_type*>(record + at.keys);
    b.key_stride = d_k();
    b.values = reinterpret_cast<const value_type*>(record + at.values);
    b.value_stride = d_v();
    if (at.codes) b.codes = reinterpret_cast<const code_type*>(record + at.codes);
    if (at.key_scales) b.key_scales = reinterpret_cast<const scale_type*>(record + at.key_scales);
    if (at.value_scales)
      b.value_scales = reinterpret_cast<const scale_type*>(record + at.value_scales);
    b.value_scale_stride = d_v() / W;
    if (at.masks) b.masks = reinterpret_cast<const group_mask*>(record + at.masks);
    if (at.starts) b.starts = reinterpret_cast<const std::uint16_t*>(record + at.starts);
    if (at.members) b.members = reinterpret_cast<const std::uint8_t*>(record + at.members);
    return b;
  }
};

}  // namespace rota

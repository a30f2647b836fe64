#pragma once

#include <rota/core/types.hpp>

namespace rota {

/// Sections of a record and records start on a cache line, so that no row straddles one more line
/// than it must. The slack is counted in every byte figure.
inline constexpr index_t record_alignment = 64;

/// Members of a group-major record are bytes.
inline constexpr index_t max_record_tokens = 256;

ROTA_HD constexpr index_t align_up(index_t n, index_t to) {
  return (n + to - 1) / to * to;
}

/// Codes are short: longer ones would save nothing.
inline constexpr index_t max_code_rank = 64;

/// What the size of a record depends on, besides its tokens.
struct record_shape {
  index_t d_k = 0;
  index_t d_v = 0;
  index_t width = 0;      ///< elements of a value group
  codec_sizes sizes;      ///< of what the store's codec writes
  index_t code_rank = 0;  ///< elements of a token's code in a low-rank fill; 0: it has none

  ROTA_HD constexpr index_t groups() const { return d_v / width; }
  ROTA_HD constexpr index_t key_bytes() const { return d_k * sizes.key; }
  ROTA_HD constexpr index_t value_bytes() const { return d_v * sizes.value; }
  ROTA_HD constexpr index_t slice_bytes() const { return width * sizes.value; }
  ROTA_HD constexpr index_t code_bytes() const { return code_rank * sizes.code; }
};

/// Starts every record. The sections follow at the offsets that layout_record() gives.
struct record_header {
  std::uint16_t tokens = 0;
  std::uint8_t order = 0;  ///< value_order
  std::uint8_t reserved = 0;
  std::uint32_t slices = 0;  ///< kept groups of all its tokens
  std::uint64_t bytes = 0;
};
static_assert(sizeof(record_header) == 16);

/// Byte offsets of a record's sections from its start; 0 means absent.
struct record_layout {
  index_t positions = 0;   ///< position_t[tokens]
  index_t masks = 0;       ///< token-major: group_mask[tokens]
  index_t starts = 0;      ///< token-major: uint16[tokens + 1]; group-major: uint16[groups + 1]
  index_t members = 0;     ///< group-major: uint8[slices]
  index_t key_scales = 0;  ///< scale_type[tokens], where keys have scales
  index_t value_scales =
      0;  ///< scale_type[slices], in the order of the slices; whole: [tokens, groups]
  index_t keys = 0;
  index_t codes = 0;  ///< [tokens, code_rank], where tokens drop groups and the fill has codes
  index_t values = 0;
  index_t bytes = 0;
};

/// Places scales behind the index, which ends at `end`, and keys behind them.
ROTA_HD constexpr void layout_scales(const record_shape& s, index_t tokens, index_t slices,
                                     index_t end, record_layout& at) {
  end = align_up(end, 2);
  if (s.sizes.key_scale > 0) at.key_scales = end;
  end += tokens * s.sizes.key_scale;
  if (s.sizes.value_scale > 0) at.value_scales = end;
  end += slices * s.sizes.value_scale;
  at.keys = align_up(end, record_alignment);
}

/// Sections of a whole record: positions, scales, keys, values.
ROTA_HD constexpr record_layout layout_whole(const record_shape& s, index_t tokens) {
  record_layout at;
  at.positions = sizeof(record_header);
  layout_scales(s, tokens, tokens * s.groups(), at.positions + tokens * 4, at);
  at.values = align_up(at.keys + tokens * s.key_bytes(), record_alignment);
  at.bytes = align_up(at.values + tokens * s.value_bytes(), record_alignment);
  return at;
}

/// Places codes and values behind the keys of a record whose tokens keep only some groups.
ROTA_HD constexpr void layout_slices(const record_shape& s, index_t tokens, index_t slices,
                                     record_layout& at) {
  at.values = align_up(at.keys + tokens * s.key_bytes(), record_alignment);
  if (s.code_rank > 0) {
    at.codes = at.values;
    at.values = align_up(at.codes + tokens * s.code_bytes(), record_alignment);
  }
  at.bytes = align_up(at.values + slices * s.slice_bytes(), record_alignment);
}

/// Sections of a record whose tokens keep only some groups, tokens one after another.
ROTA_HD constexpr record_layout layout_token_major(const record_shape& s, index_t tokens,
                                                   index_t slices) {
  record_layout at;
  at.positions = sizeof(record_header);
  at.masks = at.positions + tokens * 4;
  at.starts = at.masks + tokens * 2;
  layout_scales(s, tokens, slices, at.starts + (tokens + 1) * 2, at);
  layout_slices(s, tokens, slices, at);
  return at;
}

/// The same, groups one after another.
ROTA_HD constexpr record_layout layout_group_major(const record_shape& s, index_t tokens,
                                                   index_t slices) {
  record_layout at;
  at.positions = sizeof(record_header);
  at.starts = at.positions + tokens * 4;
  at.members = at.starts + (s.groups() + 1) * 2;
  layout_scales(s, tokens, slices, at.members + slices, at);
  layout_slices(s, tokens, slices, at);
  return at;
}

}  // namespace rota

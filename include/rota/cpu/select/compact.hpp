#pragma once

#include <utility>

#include <rota/cpu/select/group_stage.hpp>
#include <rota/cpu/simd/stream.hpp>

namespace rota::cpu::inline ROTA_CPU_ISA::select_detail {

/// Whether a survivor is written: an empty mask may remove it, unless it is protected.
inline bool is_written(const select_layer& l, index_t j, group_mask mask) {
  const bool guarded = j < l.first_ranked() || j >= l.last_ranked();
  return mask != 0 || guarded || !l.problem.drop_empty;
}

/// Fills m.kept with where in its row each chunk's tokens start, and writes the rows' counts.
inline void place_chunks(const backend& b, const select_memory& m, const budget_rule& groups) {
  for_chunks(b, m.map, 0, m.map.chunks, [&](const select_chunk& c, int) {
    index_t kept = 0;
    if (c.layer->problem.drop_empty)
      for_masks(m, groups, c,
                [&](index_t j, group_mask mask) { kept += is_written(*c.layer, j, mask); });
    else
      for (index_t w = 0; w < detail::words_per_chunk; ++w)
        kept += std::popcount(m.survivors[c.number * detail::words_per_chunk + w]);
    m.kept[c.number] = kept;
  });
  for (index_t i = 0; i < m.map.layer_count; ++i) {
    const select_layer& l = m.map.layers[i];
    for (index_t h = 0; h < l.rows(); ++h) {
      index_t* const starts = m.kept + l.first_chunk + h * l.chunks_per_head;
      index_t start = 0;
      for (index_t c = 0; c < l.chunks_per_head; ++c) start += std::exchange(starts[c], start);
      l.out.counts(h) = static_cast<std::int32_t>(start);
    }
  }
}

/// The entries of one chunk, before they go where they belong.
struct chunk_entries {
  index_t count = 0;
  std::int32_t indices[detail::select_chunk_tokens + simd::word_items];
  group_mask masks[detail::select_chunk_tokens];
};

/// The survivors of a chunk, all with the same mask.
inline void list_whole_tokens(const select_memory& m, const select_chunk& c, chunk_entries& out) {
  out.count = 0;
  for (index_t w = 0; w < detail::words_per_chunk; ++w)
    out.count +=
        simd::write_positions(m.survivors[c.number * detail::words_per_chunk + w],
                              static_cast<std::int32_t>(c.first + w * 64), out.indices + out.count);
  std::fill_n(out.masks, out.count, full_mask(c.layer->problem.groups));
}

/// The survivors of a chunk with what they keep.
inline void list_tokens(const select_memory& m, const select_chunk& c, const budget_rule& groups,
                        chunk_entries& out) {
  index_t n = 0;
  for_masks(m, groups, c, [&](index_t j, group_mask mask) {
    if (!is_written(*c.layer, j, mask)) return;
    out.indices[n] = static_cast<std::int32_t>(j);
    out.masks[n++] = mask;
  });
  out.count = n;
}

/// From so many chunks on a selection is written past the caches: what reads it reads far more
/// besides.
inline constexpr index_t streamed_chunks = 64;

/// Writes the selection, every chunk to its place.
inline void write_selection(const backend& b, const select_memory& m, const budget_rule& groups) {
  place_chunks(b, m, groups);
  for_chunks(
      b, m.map, 0, m.map.chunks,
      [&](const select_chunk& c, int) {
        chunk_entries own;
        if (!groups.selects() && c.layer->problem.available.data == nullptr)
          list_whole_tokens(m, c, own);
        else
          list_tokens(m, c, groups, own);
        std::int32_t* const indices = c.layer->out.indices.row(c.head) + m.kept[c.number];
        group_mask* const masks = c.layer->out.masks.row(c.head) + m.kept[c.number];
        if (m.map.chunks < streamed_chunks) {
          std::copy_n(own.indices, own.count, indices);
          std::copy_n(own.masks, own.count, masks);
        } else {
          simd::stream_copy(indices, own.indices, own.count);
          simd::stream_copy(masks, own.masks, own.count);
        }
      },
      [] { simd::stream_fence(); });
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::select_detail

#pragma once

#include <utility>

#include <rota/cpu/select/group_stage.hpp>

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

/// Writes the survivors of a chunk, all with the same mask.
inline void write_whole_tokens(const select_memory& m, const select_chunk& c, std::int32_t* index,
                               group_mask* masks) {
  const std::int32_t* const start = index;
  for (index_t at = 0; c.first + at < c.last; at += 64)
    index += simd::write_positions(
        m.survivors[c.number * detail::words_per_chunk + at / 64],
        static_cast<std::int32_t>(c.first + at), index);
  std::fill_n(masks, index - start, full_mask(c.layer->problem.groups));
}

/// Writes the selection, every chunk to its place.
inline void write_selection(const backend& b, const select_memory& m, const budget_rule& groups) {
  place_chunks(b, m, groups);
  for_chunks(b, m.map, 0, m.map.chunks, [&](const select_chunk& c, int) {
    std::int32_t* index = c.layer->out.indices.row(c.head) + m.kept[c.number];
    group_mask* out = c.layer->out.masks.row(c.head) + m.kept[c.number];
    if (!groups.selects() && c.layer->problem.available.data == nullptr)
      return write_whole_tokens(m, c, index, out);
    for_masks(m, groups, c, [&](index_t j, group_mask mask) {
      if (!is_written(*c.layer, j, mask)) return;
      *index++ = static_cast<std::int32_t>(j);
      *out++ = mask;
    });
  });
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::select_detail

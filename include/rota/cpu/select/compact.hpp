#pragma once

#include <rota/cpu/select/group_stage.hpp>

namespace rota::cpu::detail {

/// Whether a survivor is written: an empty mask may remove it, unless it is protected.
inline bool is_written(const select_layer& l, index_t j, group_mask mask) {
  const bool guarded = j < l.first_ranked() || j >= l.last_ranked();
  return mask != 0 || guarded || !l.problem.drop_empty;
}

/// Fills m.kept with where in its row each chunk's tokens start, and writes the rows' counts.
inline void place_chunks(const backend& b, const select_memory& m, const budget_rule& groups) {
  parallel_for(b, m.map.chunks, [&](index_t i, int) {
    const select_chunk c = m.map.chunk(i);
    m.kept[i] = 0;
    if (c.layer->problem.drop_empty)
      for_masks(m, groups, c,
                [&](index_t j, group_mask mask) { m.kept[i] += is_written(*c.layer, j, mask); });
    else
      m.kept[i] = m.survivors_of(i);
  });
  for (index_t row = 0; row < m.map.rows; ++row) {
    const select_layer& l = m.map.layer_of_row(row);
    const select_unit unit = m.map.unit(budget_scope::head, row);
    index_t start = 0;
    for (index_t i = unit.first_chunk; i < unit.last_chunk; ++i) {
      const index_t kept = m.kept[i];
      m.kept[i] = start;
      start += kept;
    }
    l.out.counts(row - l.first_row) = static_cast<std::int32_t>(start);
  }
}

/// Writes the selection, every chunk to its place.
inline void write_selection(const backend& b, const select_memory& m, const budget_rule& groups) {
  place_chunks(b, m, groups);
  parallel_for(b, m.map.chunks, [&](index_t i, int) {
    const select_chunk c = m.map.chunk(i);
    std::int32_t* index = c.layer->out.indices.row(c.head) + m.kept[i];
    group_mask* out = c.layer->out.masks.row(c.head) + m.kept[i];
    for_masks(m, groups, c, [&](index_t j, group_mask mask) {
      if (!is_written(*c.layer, j, mask)) return;
      *index++ = static_cast<std::int32_t>(j);
      *out++ = mask;
    });
  });
}

}  // namespace rota::cpu::detail

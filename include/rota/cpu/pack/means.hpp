#pragma once

#include <rota/cpu/pack/record_writer.hpp>

namespace rota::cpu {

/// Mean, per group, of the slices that the survivors of row `row` of the selection drop: what
/// mean_fill puts in their place. A group that nobody drops has mean 0. `sums` is scratch [d_v].
template <class Rows>
void mean_of_dropped(const packed_shape& shape, const Rows& rows, const selection& sel, index_t row,
                     double* sums, float* means) {
  const record_shape& s = shape.record;
  index_t dropped[max_groups] = {};
  for (index_t c = 0; c < s.d_v; ++c) sums[c] = 0;
  for (index_t i = 0; i < sel.counts(row); ++i) {
    const auto* value = rows.value(sel.indices(row, i));
    for (index_t g = 0; g < s.groups(); ++g) {
      if ((sel.masks(row, i) >> g) & 1) continue;
      ++dropped[g];
      for (index_t c = g * s.width; c < (g + 1) * s.width; ++c)
        sums[c] += static_cast<double>(static_cast<float>(value[c]));
    }
  }
  for (index_t c = 0; c < s.d_v; ++c) {
    const index_t n = dropped[c / s.width];
    means[c] = n == 0 ? 0.0f : static_cast<float>(sums[c] / static_cast<double>(n));
  }
}

}  // namespace rota::cpu

#pragma once

#include <rota/core/record.hpp>
#include <rota/cpu/simd/isa.hpp>

// How a run of query rows is cut into sets, whose state lies interleaved. The sizes are 1, 2, 4 and
// so on up to the lanes of a vector. Sets of as many rows, if that is more than four, are wide:
// there a vector holds one number of each row, where in smaller sets it holds columns of one row.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

inline constexpr index_t wide_set = simd::lanes;

constexpr bool is_wide(index_t size) {
  return size == wide_set && size > 4;
}

/// Rows of the set that starts at row `first` of `rows`: the largest size of which a quarter idles
/// at most, for what is left then would be slower.
constexpr int set_size(index_t rows, index_t first) {
  index_t size = wide_set;
  while (size > 1 && 4 * (rows - first) < 3 * size) size /= 2;
  return static_cast<int>(size);
}
/// First row of the set that a row belongs to.
constexpr index_t set_of(index_t rows, index_t row) {
  index_t first = 0;
  while (first + set_size(rows, first) <= row) first += set_size(rows, first);
  return first;
}
/// Sets of 16 rows; others may follow them.
constexpr index_t sets_of_16(index_t rows) {
  index_t n = 0;
  while (16 * n < rows && set_size(rows, 16 * n) == 16) ++n;
  return n;
}
/// Rows of all sets, idle ones included, up to a multiple of 4: what is staged for a row takes a
/// quarter of a tile at least.
constexpr index_t padded_rows(index_t rows) {
  index_t first = 0;
  while (first < rows) first += set_size(rows, first);
  return align_up(first, 4);
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail

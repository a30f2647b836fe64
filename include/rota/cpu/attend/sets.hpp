#pragma once

#include <rota/core/record.hpp>
#include <rota/cpu/simd/isa.hpp>

// How a run of query rows is cut into sets, whose state lies interleaved. A set is as many rows as
// a vector has lanes (a wide set: a vector holds one number of each row) while so many rows or
// nearly so many are left; then four, two or one, with an idle row at most.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

inline constexpr index_t small_set = 4;
inline constexpr index_t wide_set = simd::lanes;

/// Whether the next set is wide. A quarter of its rows may idle: what is left would be slower.
constexpr bool is_wide(index_t rows_left) {
  return wide_set > small_set && 4 * rows_left >= 3 * wide_set;
}
/// Rows of the set that starts at row `first` of `rows`.
constexpr int set_size(index_t rows, index_t first) {
  const index_t left = rows - first;
  if (is_wide(left)) return static_cast<int>(wide_set);
  return left >= 3 ? static_cast<int>(small_set) : static_cast<int>(left);
}
/// Rows in wide sets, idle ones included.
constexpr index_t wide_rows(index_t rows) {
  return (rows / wide_set + (is_wide(rows % wide_set) ? 1 : 0)) * (is_wide(rows) ? wide_set : 0);
}
/// Rows of all sets, idle ones included.
constexpr index_t padded_rows(index_t rows) {
  const index_t wide = wide_rows(rows);
  return wide >= rows ? wide : wide + align_up(rows - wide, small_set);
}
/// First row of the set that a row belongs to.
constexpr index_t set_of(index_t rows, index_t row) {
  const index_t wide = wide_rows(rows);
  if (row < wide) return row / wide_set * wide_set;
  return wide + (row - wide) / small_set * small_set;
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail

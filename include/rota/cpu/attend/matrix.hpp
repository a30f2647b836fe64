#pragma once

#include <cstring>

#include <rota/cpu/attend/prefetch.hpp>
#include <rota/cpu/attend/sets.hpp>
#include <rota/cpu/simd/tiles.hpp>

// What scores and weighted sums on the matrix unit have in common: keys and values are bf16,
// queries and weights sums of bf16 (simd/tiles.hpp). What is not finite is not left to the unit,
// because a term that is zero times infinity is not what a float would give; and nothing else but
// huge values in value_tiles.hpp, so that a row is the same to the bit whatever other rows are or a
// token holds that it does not see.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

using simd::tile_depth;
using simd::tile_rows;

/// Tokens whose keys are multiplied at once: as many as the unit has sums.
inline constexpr index_t matrix_tokens = 4 * tile_rows;

/// Fewer query rows than this are faster without the unit.
inline constexpr int least_matrix_set = 4;

/// Whether keys, or whole rows of values, can go through the unit, R rows at once.
template <int R, class E>
inline constexpr bool suits_matrix_unit =
    simd::has_matrix_unit&& R >= least_matrix_set&& std::is_same_v<E, bf16>;

/// Whether anything of a codec's rows can.
template <codec C>
inline constexpr bool uses_matrix_unit = suits_matrix_unit<least_matrix_set, key_type_of<C>> ||
                                         suits_matrix_unit<least_matrix_set, value_type_of<C>>;

/// How many bf16 a query and a weight are the sum of.
struct matrix_terms {
  int query = 3;
  int weight = 2;
};

/// Terms that queries and outputs of Io demand: what comes as bf16 is one, and so is what is
/// rounded to bf16 in the end. The same for all Io where nothing goes through the unit.
template <class Io, codec C>
constexpr matrix_terms terms_of() {
  return uses_matrix_unit<C> && std::is_same_v<Io, bf16> ? matrix_terms{1, 1} : matrix_terms{};
}

#if defined(ROTA_CPU_AMX)

inline constexpr index_t tile_floats = simd::tile_bytes / 4;
using tile_sums = float[4][tile_floats];

inline void store_all(tile_sums& sums) {
  simd::each_constant<4>([&](auto k)
                             __attribute__((always_inline)) { simd::store_sums<k>(sums[k]); });
}

/// Columns [0, 32) of 16 rows; zeros behind the last of `left`. load(rows, bytes between them).
template <class Load>
void load_rows(const bf16* row, index_t stride, index_t left, Load load) {
  if (left >= tile_rows) return load(row, stride * static_cast<index_t>(sizeof(bf16)));
  alignas(64) bf16 part[tile_rows * tile_depth] = {};
  for (index_t t = 0; t < left; ++t)
    std::memcpy(static_cast<void*>(part + t * tile_depth), row + t * stride,
                tile_depth * sizeof(bf16));
  simd::before_tile_loads();
  load(part, 64);
}

#endif

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail

#pragma once

#include <rota/cpu/attend/rows.hpp>

// What a tile of tokens does to the state of all query rows of a kv head.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

/// Adds one tile to a set of R rows.
template <int R, index_t FixedWidth, matrix_terms Terms, class Walk>
void add_to_set(const row_problem& p, const row_state& state, index_t first, const Walk& tile) {
  row_set<FixedWidth, Terms, R> set(p, state, first);
  for (const auto& piece : tile) set.score(piece);
  set.add_scored(tile);
}

/// Adds one tile to two sets of 16 rows.
template <index_t FixedWidth, matrix_terms Terms, class Walk>
void add_to_two_sets(const row_problem& p, const row_state& state, index_t first,
                     const Walk& tile) {
  using set = row_set<FixedWidth, Terms, 16>;
  set one(p, state, first), next(p, state, first + 16);
  for (const auto& piece : tile) one.score_two(next, piece);
  one.add_scored(tile);
  next.add_scored(tile);
}

/// Adds one tile to the sets that begin at row `first`; how many rows that were.
template <index_t FixedWidth, matrix_terms Terms, class Walk>
index_t add_to_next(const row_problem& p, const row_state& state, index_t first, const Walk& tile) {
  const int size = set_size(p.rows, first);
  if (size == 1) add_to_set<1, FixedWidth, Terms>(p, state, first, tile);
  if (size == 2) add_to_set<2, FixedWidth, Terms>(p, state, first, tile);
  if (size == 4) add_to_set<4, FixedWidth, Terms>(p, state, first, tile);
  if constexpr (wide_set >= 8)
    if (size == 8) add_to_set<8, FixedWidth, Terms>(p, state, first, tile);
  if constexpr (wide_set >= 16)
    if (size == 16) {
      using E = typename Walk::element_type;
      if constexpr (row_set<FixedWidth, Terms, 16>::template scores_two<E>)
        if (first + 16 < p.rows && set_size(p.rows, first + 16) == 16) {
          add_to_two_sets<FixedWidth, Terms>(p, state, first, tile);
          return 32;
        }
      add_to_set<16, FixedWidth, Terms>(p, state, first, tile);
    }
  return size;
}

/// Adds one tile to all rows.
template <index_t FixedWidth, matrix_terms Terms, class Walk>
void add_tile(const row_problem& p, const row_state& state, const Walk& tile) {
  for (index_t first = 0; first < p.rows;)
    first += add_to_next<FixedWidth, Terms>(p, state, first, tile);
  if constexpr (suits_matrix_unit<16, value_type_of<typename Walk::element_type>>)
    if (p.weight_tiles != nullptr && has_whole_rows(tile))
      value_pass<Terms.weight, Walk>(p, state, tile).run();
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail

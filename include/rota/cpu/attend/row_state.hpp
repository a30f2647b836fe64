#pragma once

#include <algorithm>

#include <rota/cpu/attend/logits.hpp>
#include <rota/cpu/attend/sets.hpp>
#include <rota/cpu/attend/softmax.hpp>

// What a run of query rows of one kv head asks, and the state of it.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

/// What all tiles of a unit have in common.
struct row_problem {
  const float* q = nullptr;  ///< [padded rows][padded d_k]; wide sets: [d_k][lanes]
  float scale = 0;           ///< of the logits, to base 2
  bool on_matrix_unit = false;
  const float* q_tiles = nullptr;  ///< [padded rows][query_tile_floats(d_k)], where keys suit it
  float* weight_tiles = nullptr;   ///< room for those of a tile of tokens: [sets of 16 rows]
                                   ///< [weight_tile_floats], where sets leave values to value_pass
  const sight* sights = nullptr;   ///< [padded rows]; null: every row sees every token
  index_t rows = 0;
  index_t d_k = 0;
  index_t d_v = 0;
  index_t width = 0;
  index_t groups = 0;  ///< whose kept weight is counted; 0: none is
  index_t code_rank = 0;
};

/// Partial result of `rows` rows over some tokens.
struct row_state {
  float* max = nullptr;    ///< [padded rows], of logits in base 2
  float* sum = nullptr;    ///< [padded rows], of exp2(logit - max)
  float* kept = nullptr;   ///< set by set: [groups][set size], weight of tokens with the group
  float* out = nullptr;    ///< [padded rows][padded d_v], weighted values
  float* codes = nullptr;  ///< [padded rows][padded code rank], weighted codes

  static index_t floats(index_t rows, index_t groups, index_t d_v, index_t code_rank) {
    const index_t n = padded_rows(rows);
    return align_up(n * (2 + groups), 16) + n * (padded(d_v) + padded(code_rank));
  }

  row_state(float* memory, index_t rows, index_t groups, index_t d_v) {
    const index_t n = padded_rows(rows);
    max = memory;
    sum = max + n;
    kept = sum + n;
    out = memory + align_up(n * (2 + groups), 16);  // a vector of sums is one cache line
    codes = out + n * padded(d_v);
  }

  float kept_of(index_t rows, index_t row, index_t s, index_t groups) const {
    const index_t first = set_of(rows, row);
    return kept[first * groups + s * set_size(rows, first) + (row - first)];
  }

  void clear(index_t rows, index_t groups, index_t d_v, index_t code_rank) const {
    const index_t n = padded_rows(rows);
    std::fill(max, max + n, minus_infinity);
    std::fill(sum, sum + n, 0.0f);
    std::fill(kept, kept + n * groups, 0.0f);
    std::fill(out, out + n * (padded(d_v) + padded(code_rank)), 0.0f);
  }
};

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail

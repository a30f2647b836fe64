#pragma once

#include <rota/cpu/score/key_tile.hpp>

// Hidden states of 64 tokens times rows of weights: what scorers that read hidden states share.

namespace rota::cpu::inline ROTA_CPU_ISA::score_detail {

/// tile [hidden, tile_tokens] receives the states of `count` tokens, transposed, zero behind them.
inline void load_state_tile(const view<const float, 2>& states, index_t first, index_t count,
                            float* tile) {
  load_tile([&](index_t t) { return states.row(first + t); }, count, states.extent[1], tile);
}

/// out [rows, tile_tokens] = weights [rows, d] times a tile [d, tile_tokens].
inline void multiply_weights(const view<const float, 2>& weights, const float* tile, float* out) {
  const index_t rows = weights.extent[0];
  for (index_t first = 0; first < rows; first += row_block) {
    const float* block[row_block];
    const int n = static_cast<int>(std::min<index_t>(row_block, rows - first));
    for (int r = 0; r < n; ++r) block[r] = weights.row(first + r);
    multiply_rows(block, n, weights.extent[1], tile, out + first * tile_tokens);
  }
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::score_detail

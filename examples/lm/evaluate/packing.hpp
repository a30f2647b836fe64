// How selections become stores: by group width and fill, chosen at run time.
#pragma once

#include <cstddef>
#include <vector>

#include <rota/cpu/backend.hpp>
#include <rota/select/selection.hpp>

#include "engine/packed_cache.hpp"
#include "engine/scratch_memory.hpp"
#include "evaluate/stock_scores.hpp"

namespace rota_lm::eval {

struct store_choice {
  int group_width = 16;  ///< 8 or 16
  fill stand_in = fill::zero;
};

/// Bytes of the stores that pack() makes of these selections, without tails, everything else
/// counted.
std::size_t sealed_bytes(const store_choice& how, const std::vector<layer_context>& contexts,
                         const std::vector<rota::selection>& kept);

/// Packs what was selected of each layer as the layers of `out`, with room for `tail` tokens each.
void pack(const store_choice& how, const rota::cpu::backend& backend,
          const std::vector<layer_context>& contexts, const std::vector<rota::selection>& kept,
          std::size_t tail, scratch_memory& scratch, packed_cache& out);

}  // namespace rota_lm::eval

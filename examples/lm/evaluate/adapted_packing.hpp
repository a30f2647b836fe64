// Packing with what an adapted model puts in the place of dropped groups.
#pragma once

#include <cstddef>
#include <vector>

#include <rota/cpu/backend.hpp>
#include <rota/fill/low_rank.hpp>
#include <rota/policy/context.hpp>
#include <rota/score/router_weights.hpp>
#include <rota/select/selection.hpp>

#include "engine/packed_cache.hpp"
#include "engine/scratch_memory.hpp"
#include "evaluate/sequence.hpp"

namespace rota_lm::eval {

using adapted_context =
    rota::context<element, rota::layer_states, rota::router_weights, rota::fill_codec>;

/// Throws, in one line, where this program cannot pack the routing's group width or fill.
void check_packable(const value_routing& routing);

/// Packs what was selected of each layer as the layers of `out`, with room for `tail` tokens each.
void pack(const value_routing& routing, const rota::cpu::backend& backend,
          const std::vector<adapted_context>& contexts, const std::vector<rota::selection>& kept,
          std::size_t tail, scratch_memory& scratch, packed_cache& out);

}  // namespace rota_lm::eval

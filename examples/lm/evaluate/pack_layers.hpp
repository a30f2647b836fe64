// Packing of all layers, for the few files that are compiled with it.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <rota/attend/attention.hpp>
#include <rota/cpu/pack.hpp>

#include "engine/cache_memory.hpp"
#include "engine/packed_cache.hpp"
#include "engine/rota_call.hpp"
#include "engine/scratch_memory.hpp"
#include "evaluate/sequence.hpp"

namespace rota_lm::eval {

/// How rows lie in memory: packing is by group width and fill alone, whatever selected.
template <int Width, class Fill>
using packing = rota::attention<rota::packed<element, Width>, Fill>;

/// Packs what was selected of each layer as the layers of `out`, into memory of exactly their size
/// with room for `tail` tokens each.
template <class Op, class Context>
void pack_layers(const rota::cpu::backend& b, const std::vector<Context>& contexts,
                 const std::vector<rota::selection>& kept, std::size_t tail,
                 scratch_memory& scratch, packed_cache& out) {
  typename Op::params p;
  p.store.tail_capacity = static_cast<rota::index_t>(tail);
  for (std::size_t i = 0; i < contexts.size(); ++i) {
    const auto bytes = Op::store_bytes(contexts[i], kept[i], p);
    cache_buffer memory = out.allocate(static_cast<std::size_t>(bytes));
    typename Op::store_type store{memory.data(), bytes};
    const rota::workspace ws = scratch.at_least(Op::pack_workspace_bytes(b, contexts[i], p));
    require(Op::pack(b, contexts[i], kept[i], p, store, ws), "layer " + std::to_string(i));
    out.add_layer(std::move(memory), store);
  }
}

}  // namespace rota_lm::eval

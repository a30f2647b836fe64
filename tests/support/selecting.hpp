#pragma once

#include <rota/cpu/select.hpp>
#include <rota/cpu/thread_pool.hpp>

#include "support/memory.hpp"
#include "support/select_layers.hpp"

namespace rota_test {

/// Layers that the CPU selects from.
struct select_span : select_layers {
  template <class Tokens, class Groups>
  rota::status run(const typename Tokens::params& tokens, const typename Groups::params& groups,
                   int threads) {
    rota::cpu::thread_pool pool(threads);
    const auto b = pool.get_backend();
    const auto p = problems();
    const auto s = scores();
    const auto o = outputs();
    const aligned_memory ws(rota::cpu::select_workspace_bytes<Tokens, Groups>(
        b, p, static_cast<index_t>(layers.size())));
    for (auto& l : layers) l.reset();
    return rota::cpu::select<Tokens, Groups>(b, p, tokens, groups, s, o, ws.workspace());
  }
};

}  // namespace rota_test

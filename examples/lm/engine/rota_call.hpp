// How this engine calls Rota: statuses become exceptions, workspaces grow on demand.
#pragma once

#include <cstddef>
#include <string>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "engine/attention_seam.hpp"
#include "engine/cache_memory.hpp"
#include "engine/config.hpp"
#include "engine/error.hpp"

namespace rota_lm {

/// Throws unless the status is ok: "where: argument: what".
inline void require(const rota::status& s, const std::string& where) {
  if (s.ok()) return;
  fail(where, (*s.argument != '\0' ? std::string(s.argument) + ": " : "") + s.what());
}

/// Scratch memory that is kept from call to call, as large as the largest asked for.
class scratch_memory {
 public:
  rota::workspace at_least(std::size_t bytes) {
    if (memory_.size() < bytes) memory_ = cache_buffer(bytes);
    return {memory_.data(), memory_.size()};
  }

 private:
  cache_buffer memory_;
};

/// What a call of the model is to Rota.
struct rota_views {
  rota::view<const float, 3> q;  ///< [n, q_heads, head_dim]
  rota::view<const float, 3> k;  ///< [n, kv_heads, head_dim]
  rota::view<const float, 3> v;
  rota::view<float, 3> out;

  rota_views(const attention_call& call, const model_config& c) {
    const auto n = static_cast<rota::index_t>(call.tokens);
    const auto d = static_cast<rota::index_t>(c.head_dim);
    const auto q_heads = static_cast<rota::index_t>(c.q_heads);
    const auto kv_heads = static_cast<rota::index_t>(c.kv_heads);
    q = rota::view<const float, 3>(call.q.data(), n, q_heads, d);
    k = rota::view<const float, 3>(call.k.data(), n, kv_heads, d);
    v = rota::view<const float, 3>(call.v.data(), n, kv_heads, d);
    out = rota::view<float, 3>(call.out.data(), n, q_heads, d);
  }
};

/// The model's attention in a layer: causal, and within the layer's window if it has one.
inline rota::attend_params attend_params_of(const model_config& c, std::size_t layer) {
  rota::attend_params p;
  p.sliding_window = static_cast<rota::index_t>(c.sliding_window[layer]);
  return p;
}

}  // namespace rota_lm

// How this engine calls Rota: statuses become exceptions, spans become views.
#pragma once

#include <cstddef>
#include <string>

#include <rota/attend/problem.hpp>
#include <rota/core/status.hpp>
#include <rota/core/view.hpp>

#include "engine/attention_seam.hpp"
#include "engine/config.hpp"

namespace rota_lm {

/// Throws unless the status is ok: "where: argument: what".
void require(const rota::status& s, const std::string& where);

/// What a call of the model is to Rota.
struct rota_views {
  rota::view<const float, 3> q;  ///< [n, q_heads, head_dim]
  rota::view<const float, 3> k;  ///< [n, kv_heads, head_dim]
  rota::view<const float, 3> v;
  rota::view<float, 3> out;

  rota_views(const attention_call& call, const model_config& c);
};

/// The model's attention in a layer: causal, and within the layer's window if it has one.
rota::attend_params attend_params_of(const model_config& c, std::size_t layer);

}  // namespace rota_lm

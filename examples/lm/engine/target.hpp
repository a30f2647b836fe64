// The linear projections of a decoder layer, by name.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "engine/config.hpp"

namespace rota_lm {

/// The linear projections of a layer, in the order in which a layer uses them.
enum class target { q, k, v, o, gate, up, down };

inline constexpr std::array<std::pair<target, std::string_view>, 7> target_names = {
    {{target::q, "self_attn.q_proj"},
     {target::k, "self_attn.k_proj"},
     {target::v, "self_attn.v_proj"},
     {target::o, "self_attn.o_proj"},
     {target::gate, "mlp.gate_proj"},
     {target::up, "mlp.up_proj"},
     {target::down, "mlp.down_proj"}}};

/// in and out of a projection, [out, in] being its weight's shape.
inline std::pair<std::size_t, std::size_t> shape_of(target t, const model_config& c) {
  const std::size_t q_width = c.q_heads * c.head_dim, kv_width = c.kv_heads * c.head_dim;
  switch (t) {
    case target::q:
      return {c.hidden_size, q_width};
    case target::k:
    case target::v:
      return {c.hidden_size, kv_width};
    case target::o:
      return {q_width, c.hidden_size};
    case target::gate:
    case target::up:
      return {c.hidden_size, c.intermediate_size};
    default:
      return {c.intermediate_size, c.hidden_size};
  }
}

}  // namespace rota_lm

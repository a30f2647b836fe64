// The linear projections of a decoder layer, by name.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

namespace rota_lm {

struct model_config;

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
std::pair<std::size_t, std::size_t> shape_of(target t, const model_config& c);

}  // namespace rota_lm

// What an adaptation consists of: which projections get adapters, who picks value groups, what
// stands in for those that are dropped.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include <rota/cpu/train/value_fill.hpp>
#include <rota/train/lora_shape.hpp>

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

/// Who picks the value groups of a prefix token.
enum class group_choice {
  all,            ///< none is dropped: dense LoRA
  fixed_groups,   ///< the same groups of every token, those of the largest mean square
  value_norm,     ///< each token's K largest slices
  fixed_k,        ///< learned: each token's K largest router logits
  adaptive_span,  ///< learned: every router logit that reaches a threshold over all layers
};
inline bool is_learned(group_choice c) {
  return c >= group_choice::fixed_k;
}

/// What a router's logits are made of, from W h + b.
enum class router_form {
  per_head,      ///< one output for each (kv head, group)
  shared,        ///< one for each group, the same mask for all kv heads
  hierarchical,  ///< one for each kv head and one for each group; a logit is their sum
};

struct adapter_setting {
  std::vector<target> targets;   ///< ascending, each once
  rota::train::lora_shape lora;  ///< but for `in` and `out`
  group_choice groups = group_choice::adaptive_span;
  router_form router = router_form::per_head;
  std::size_t group_width = 8;
  rota::cpu::fill_kind fill = rota::cpu::fill_kind::low_rank;
  std::size_t fill_rank = 8;
  std::size_t sinks = 4, window = 16;  ///< of a prefix, kept whole

  /// S
  std::size_t groups_of(const model_config& c) const { return c.head_dim / group_width; }
  /// Rows of a router's weights.
  std::size_t router_outputs(const model_config& c) const {
    const std::size_t s = groups_of(c);
    switch (router) {
      case router_form::per_head:
        return c.kv_heads * s;
      case router_form::shared:
        return s;
      default:
        return c.kv_heads + s;
    }
  }
};

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

// What an adaptation consists of: which projections get adapters, who picks value groups, what
// stands in for those that are dropped.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include <rota/train/lora_shape.hpp>

#include "engine/config.hpp"
#include "engine/target.hpp"
#include "engine/value_routing.hpp"

namespace rota_lm {

/// Widths of groups and ranks of low-rank fills that evaluate packs (evaluate/adapted.hpp).
inline constexpr std::array<std::size_t, 2> packed_widths = {8, 16};
inline constexpr std::array<std::size_t, 3> packed_ranks = {4, 8, 16};

struct adapter_setting {
  std::vector<target> targets;   ///< ascending, each once
  rota::train::lora_shape lora;  ///< but for `in` and `out`
  group_rule groups = group_rule::adaptive_span;
  router_form router = router_form::per_head;
  std::size_t group_width = 8;
  fill_kind fill = fill_kind::low_rank;
  std::size_t fill_rank = 8;
  std::size_t sinks = 4, window = 16;  ///< of a prefix, kept whole

  /// S
  std::size_t groups_of(const model_config& c) const { return c.head_dim / group_width; }
  /// Rows of a router's weights.
  std::size_t outputs(const model_config& c) const {
    return router_outputs(router, c.kv_heads, groups_of(c));
  }
};

}  // namespace rota_lm

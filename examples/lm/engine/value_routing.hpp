// What an adapted model brings along for its values: who picks groups of them, what stands in for
// the others.
#pragma once

#include <cstddef>
#include <vector>

#include <rota/cpu/train/fill_kind.hpp>

namespace rota_lm {

struct model_config;

using rota::cpu::fill_kind;

/// Who picks the value groups of a prefix token.
enum class group_rule {
  all,            ///< none is dropped: dense LoRA
  fixed_groups,   ///< the same groups of every token, those of the largest mean square
  value_norm,     ///< each token's K largest slices
  fixed_k,        ///< learned: each token's K largest router logits
  adaptive_span,  ///< learned: every router logit that reaches a threshold over all layers
  entropy_span,   ///< learned: each token's fewest groups whose softmax mass reaches a threshold
};
inline bool is_learned(group_rule c) {
  return c >= group_rule::fixed_k;
}
/// Whether a number calibrated over many tokens says how much is kept.
inline bool is_calibrated(group_rule c) {
  return c >= group_rule::adaptive_span;
}

/// What a router's logits are made of, from W h + b.
enum class router_form {
  per_head,      ///< one output for each (kv head, group)
  shared,        ///< one for each group, the same mask for all kv heads
  hierarchical,  ///< one for each kv head and one for each group; a logit is their sum
};

/// Rows of a router's weights.
std::size_t router_outputs(router_form form, std::size_t kv_heads, std::size_t groups);

/// What a choice needs to keep rho of the groups on average, as it was calibrated: the least logit
/// of adaptive_span, the mass of entropy_span.
struct span_threshold {
  double rho = 1;
  float threshold = 0;
};

/// The learned part of one layer.
struct layer_routing {
  std::vector<float> router_weight;   ///< [router_outputs, hidden]; empty unless learned
  std::vector<float> router_bias;     ///< [router_outputs]
  std::vector<float> encode, decode;  ///< [kv_heads, r, d] each; empty but for a low-rank fill
  std::vector<int> order;             ///< of fixed_groups: [kv_heads, S], best first
};

struct value_routing {
  group_rule rule = group_rule::all;
  router_form form = router_form::per_head;
  fill_kind fill = fill_kind::zero;
  std::size_t group_width = 8, fill_rank = 0;
  std::size_t sinks = 4, window = 16;      ///< kept whole, as in training
  std::vector<span_threshold> thresholds;  ///< of a calibrated rule, falling rho
  std::vector<layer_routing> layers;

  std::size_t groups(const model_config& c) const;
};

}  // namespace rota_lm

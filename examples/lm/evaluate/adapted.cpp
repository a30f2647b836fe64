#include "evaluate/adapted.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>

#include <rota/budget/adaptive_span.hpp>
#include <rota/budget/entropy_span.hpp>
#include <rota/budget/fixed_k.hpp>
#include <rota/cpu/score.hpp>
#include <rota/cpu/select.hpp>
#include <rota/score/router.hpp>
#include <rota/score/value_norm.hpp>

#include "engine/error.hpp"
#include "engine/rota_call.hpp"
#include "engine/value_routing.hpp"

namespace rota_lm::eval {
namespace {

adapted_context with_weights(const layer_context& c, const matrix& input,
                             const value_routing& routing, std::size_t layer) {
  adapted_context out;
  static_cast<rota::context_views<element>&>(out) = c;
  out.layer_hidden = rota::view<const float, 2>(input.data(), c.tokens(), input.cols());
  const layer_routing& w = routing.layers.at(layer);
  const auto outputs = static_cast<rota::index_t>(w.router_bias.size());
  if (outputs > 0) {
    out.router = rota::view<const float, 2>(w.router_weight.data(), outputs, input.cols());
    out.router_bias = rota::view<const float, 1>(w.router_bias.data(), outputs);
  }
  if (!w.encode.empty()) {
    const auto rank = static_cast<rota::index_t>(routing.fill_rank);
    out.encode = rota::view<const float, 3>(w.encode.data(), c.kv_heads(), rank, c.d_v());
    out.decode = rota::view<const float, 3>(w.decode.data(), c.kv_heads(), rank, c.d_v());
  }
  return out;
}

/// Scores the value groups of one layer.
class layer_scorer {
 public:
  layer_scorer(const value_routing& routing, const rota::cpu::backend& backend,
               scratch_memory& scratch)
      : routing_(routing), backend_(backend), scratch_(scratch) {}

  void score(const adapted_context& c, std::size_t layer, const rota::view<float, 3>& out) {
    switch (routing_.rule) {
      case group_rule::all:
        return;
      case group_rule::fixed_groups:
        return score_by_order(routing_.layers[layer].order, out);
      case group_rule::value_norm:
        return score_by<rota::value_norm>(c, layer, out);
      default:
        break;
    }
    switch (routing_.form) {
      case router_form::shared:
        return score_by<rota::router<rota::shared_router>>(c, layer, out);
      case router_form::hierarchical:
        return score_by<rota::router<rota::hierarchical_router>>(c, layer, out);
      default:
        return score_by<rota::router<rota::per_head_router>>(c, layer, out);
    }
  }

 private:
  template <class Scorer>
  void score_by(const adapted_context& c, std::size_t layer, const rota::view<float, 3>& out) {
    const auto width = static_cast<int>(routing_.group_width);
    const rota::workspace ws = scratch_.at_least(
        rota::cpu::score_groups_workspace_bytes(backend_, Scorer{}, {}, c, width));
    require(rota::cpu::score_groups(backend_, Scorer{}, {}, c, width, out, ws),
            "layer " + std::to_string(layer));
  }

  /// The first of a head's order highest, alike for all tokens.
  static void score_by_order(const std::vector<int>& order, const rota::view<float, 3>& out) {
    for (rota::index_t h = 0; h < out.extent[0]; ++h)
      for (rota::index_t i = 0; i < out.extent[1]; ++i)
        for (rota::index_t place = 0; place < out.extent[2]; ++place)
          out(h, i, order[static_cast<std::size_t>(h * out.extent[2] + place)]) =
              static_cast<float>(-place);
  }

  const value_routing& routing_;
  const rota::cpu::backend& backend_;
  scratch_memory& scratch_;
};

}  // namespace

adapted_compressor::adapted_compressor(const std::vector<layer_context>& contexts,
                                       const std::vector<matrix>& inputs,
                                       const value_routing& routing, rota::protection protect,
                                       rota::cpu::backend backend)
    : routing_(routing), backend_(backend) {
  const auto groups =
      static_cast<int>(contexts.at(0).d_v() / static_cast<rota::index_t>(routing.group_width));
  layer_scorer scorer(routing_, backend_, scratch_);
  for (std::size_t i = 0; i < contexts.size(); ++i) {
    contexts_.push_back(with_weights(contexts[i], inputs.at(i), routing, i));
    rota::select_problem p;
    p.tokens = contexts[i].tokens();
    p.sliding_window = contexts[i].sliding_window;
    p.kv_heads = contexts[i].kv_heads();
    p.groups = groups;
    p.protect = protect;
    problems_.push_back(p);
    kept_.emplace_back(p.kv_heads, p.tokens);
    views_.push_back(kept_.back().view);
    scores_.emplace_back(p.kv_heads, p.tokens, groups);
    scorer.score(contexts_[i], i, scores_[i].view);
  }
}

void adapted_compressor::select(double rho) {
  rota::cpu::budget_rule groups;  // everything, unless the routing says otherwise
  rota::adaptive_span::params by_threshold;
  rota::entropy_span::params by_mass;
  rota::fixed_k::params by_count;
  if (rho < 1 && routing_.rule == group_rule::adaptive_span) {
    by_threshold.tau = threshold_of(rho);
    groups = rota::cpu::rule_of<rota::adaptive_span>(by_threshold);
  } else if (rho < 1 && routing_.rule == group_rule::entropy_span) {
    // The calibrated mass is that before the last kept group: its own must be more.
    by_mass = {std::min(1.0, static_cast<double>(threshold_of(rho)) + 1e-6)};
    groups = rota::cpu::rule_of<rota::entropy_span>(by_mass);
  } else if (rho < 1 && routing_.rule != group_rule::all) {
    by_count.k = static_cast<int>(std::lround(rho * problems_[0].groups));
    groups = rota::cpu::rule_of<rota::fixed_k>(by_count);
  }
  std::vector<rota::layer_scores> scores(scores_.size());
  for (std::size_t i = 0; i < scores.size(); ++i) scores[i].groups = scores_[i].view;
  const rota::workspace ws = scratch_.at_least(rota::cpu::select_workspace_bytes(
      backend_, problems_, std::ssize(problems_), groups.selects()));
  require(rota::cpu::select(backend_, problems_, {}, groups, scores, views_, ws), "selection");
}

void adapted_compressor::pack(std::size_t tail, packed_cache& out) {
  eval::pack(routing_, backend_, contexts_, views_, tail, scratch_, out);
}

float adapted_compressor::threshold_of(double rho) const {
  for (const span_threshold& t : routing_.thresholds)
    if (std::abs(t.rho - rho) < 1e-6) return t.threshold;
  fail("--rhos", "the adapted model has no threshold for " + std::to_string(rho));
}

}  // namespace rota_lm::eval

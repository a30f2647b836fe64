// What an adapted model keeps of a prefill by its own routing: groups by its router, its threshold
// or its order, and its fill, for a share rho of the groups.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/matrix.hpp"
#include "engine/value_routing.hpp"
#include "evaluate/compressor.hpp"

namespace rota_lm::eval {

/// Keeps what each layer's projections read of a prefill.
class input_record {
 public:
  explicit input_record(bool wanted) : wanted_(wanted) {}
  void on_layer(const layer_trace& t) {
    if (wanted_) inputs_.push_back(t.attention_input);
  }
  const std::vector<matrix>& inputs() const { return inputs_; }

 private:
  bool wanted_;
  std::vector<matrix> inputs_;
};

/// The layers of one sequence. Contexts, inputs and routing must outlive this.
class adapted_compressor {
 public:
  adapted_compressor(std::vector<layer_context> contexts, const std::vector<matrix>& inputs,
                     const value_routing& routing, rota::protection protect,
                     rota::cpu::backend backend = {})
      : routing_(routing), backend_(backend) {
    const auto groups =
        static_cast<int>(contexts.at(0).d_v() / static_cast<rota::index_t>(routing.group_width));
    for (std::size_t i = 0; i < contexts.size(); ++i) {
      contexts_.push_back(with_weights(contexts[i], inputs.at(i), i));
      rota::select_problem p;
      p.tokens = contexts[i].tokens();
      p.kv_heads = contexts[i].kv_heads();
      p.groups = groups;
      p.protect = protect;
      p.sliding_window = contexts[i].sliding_window;
      problems_.push_back(p);
      kept_.emplace_back(p.kv_heads, p.tokens);
      views_.push_back(kept_.back().view);
      scores_.emplace_back(p.kv_heads, p.tokens, groups);
      score(i);
    }
  }

  /// Keeps a share rho of the groups: as many of each token, or as the calibrated threshold says.
  void select(double rho) {
    if (rho >= 1 || routing_.rule == group_rule::all) return run(rota::cpu::budget_rule{});
    if (routing_.rule == group_rule::adaptive_span) {
      run<rota::adaptive_span>({threshold_of(rho)});
    } else if (routing_.rule == group_rule::entropy_span) {
      // The calibrated mass is that before the last kept group: its own must be more.
      run<rota::entropy_span>({std::min(1.0, static_cast<double>(threshold_of(rho)) + 1e-6)});
    } else {
      rota::fixed_k::params p;
      p.k = static_cast<int>(std::lround(rho * problems_[0].groups));
      run<rota::fixed_k>(p);
    }
  }

  /// Packs the last selection as all the layers of `out`, with room for `tail` tokens each.
  void pack(std::size_t tail, row_cache& out) {
    with_fill(
        [&]<class Op>() { pack_layers<Op>(backend_, contexts_, views_, tail, scratch_, out); });
  }

  kept_counts kept() const { return count_kept(problems_, views_); }
  int groups() const { return problems_[0].groups; }

 private:
  using adapted_context =
      rota::context<element, rota::layer_states, rota::router_weights, rota::fill_codec>;
  template <int Width, class Fill>
  using packing = rota::attention<rota::packed<element, Width>, Fill>;

  static std::string layer_name(std::size_t layer) { return "layer " + std::to_string(layer); }

  adapted_context with_weights(const layer_context& c, const matrix& input,
                               std::size_t layer) const {
    adapted_context out;
    static_cast<rota::context_views<element>&>(out) = c;
    out.layer_hidden = rota::view<const float, 2>(input.data(), c.tokens(), input.cols());
    const layer_routing& w = routing_.layers.at(layer);
    const auto outputs = static_cast<rota::index_t>(w.router_bias.size());
    if (outputs > 0) {
      out.router = rota::view<const float, 2>(w.router_weight.data(), outputs, input.cols());
      out.router_bias = rota::view<const float, 1>(w.router_bias.data(), outputs);
    }
    if (!w.encode.empty()) {
      const auto rank = static_cast<rota::index_t>(routing_.fill_rank);
      out.encode = rota::view<const float, 3>(w.encode.data(), c.kv_heads(), rank, c.d_v());
      out.decode = rota::view<const float, 3>(w.decode.data(), c.kv_heads(), rank, c.d_v());
    }
    return out;
  }

  void score(std::size_t layer) {
    switch (routing_.rule) {
      case group_rule::all:
        return;
      case group_rule::fixed_groups:
        return score_by_order(layer);
      case group_rule::value_norm:
        return score_by<rota::value_norm>(layer);
      default:
        break;
    }
    switch (routing_.form) {
      case router_form::shared:
        return score_by<rota::router<rota::shared_router>>(layer);
      case router_form::hierarchical:
        return score_by<rota::router<rota::hierarchical_router>>(layer);
      default:
        return score_by<rota::router<rota::per_head_router>>(layer);
    }
  }

  template <class Scorer>
  void score_by(std::size_t layer) {
    const auto width = static_cast<int>(routing_.group_width);
    const auto& c = contexts_[layer];
    const rota::workspace ws = scratch_.at_least(
        rota::cpu::score_groups_workspace_bytes(backend_, Scorer{}, {}, c, width));
    require(rota::cpu::score_groups(backend_, Scorer{}, {}, c, width, scores_[layer].view, ws),
            layer_name(layer));
  }

  /// The first of a head's order highest, alike for all tokens.
  void score_by_order(std::size_t layer) {
    const std::vector<int>& order = routing_.layers[layer].order;
    const auto& out = scores_[layer].view;
    for (rota::index_t h = 0; h < out.extent[0]; ++h)
      for (rota::index_t i = 0; i < out.extent[1]; ++i)
        for (rota::index_t place = 0; place < out.extent[2]; ++place)
          out(h, i, order[static_cast<std::size_t>(h * out.extent[2] + place)]) =
              static_cast<float>(-place);
  }

  float threshold_of(double rho) const {
    for (const span_threshold& t : routing_.thresholds)
      if (std::abs(t.rho - rho) < 1e-6) return t.threshold;
    fail("--rhos", "the adapted model has no threshold for " + std::to_string(rho));
  }

  template <class Budget>
  void run(const typename Budget::params& budget) {
    run(rota::cpu::rule_of<Budget>(budget));
  }

  /// Every token survives; `groups` says what it keeps.
  void run(const rota::cpu::budget_rule& groups) {
    std::vector<rota::layer_scores> scores(scores_.size());
    for (std::size_t i = 0; i < scores.size(); ++i) scores[i].groups = scores_[i].view;
    const rota::workspace ws = scratch_.at_least(rota::cpu::select_workspace_bytes(
        backend_, problems_, std::ssize(problems_), groups.selects()));
    require(rota::cpu::select(backend_, problems_, {}, groups, scores, views_, ws), "selection");
  }

  template <class F>
  void with_fill(F&& f) const {
    if (routing_.group_width == 8) return with_fill_of<8>(f);
    if (routing_.group_width == 16) return with_fill_of<16>(f);
    fail("value routing", "groups of " + std::to_string(routing_.group_width) +
                              ": this program packs groups of 8 and of 16");
  }
  template <int Width, class F>
  void with_fill_of(F& f) const {
    if (routing_.fill == fill_kind::zero)
      return f.template operator()<packing<Width, rota::zero_fill>>();
    if (routing_.fill == fill_kind::mean)
      return f.template operator()<packing<Width, rota::mean_fill>>();
    switch (routing_.fill_rank) {
      case 4:
        return f.template operator()<packing<Width, rota::low_rank_fill<4>>>();
      case 8:
        return f.template operator()<packing<Width, rota::low_rank_fill<8>>>();
      case 16:
        return f.template operator()<packing<Width, rota::low_rank_fill<16>>>();
      default:
        fail("value routing", "a fill of rank " + std::to_string(routing_.fill_rank) +
                                  ": this program packs codes of 4, 8 and 16");
    }
  }

  const value_routing& routing_;
  rota::cpu::backend backend_;
  std::vector<adapted_context> contexts_;
  std::vector<rota::select_problem> problems_;
  std::vector<kept_memory> kept_;
  std::vector<rota::selection> views_;
  std::vector<scored<3>> scores_;
  scratch_memory scratch_;
};

}  // namespace rota_lm::eval

// The scores of a span of layers, by each scorer that a method asks for, made once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/rota_call.hpp"
#include "engine/scoring_context.hpp"
#include "evaluate/method.hpp"
#include "evaluate/sequence.hpp"
#include "evaluate/split_scores.hpp"

namespace rota_lm::eval {

using layer_context = scoring_context<element>::context_type;

class score_cache {
 public:
  /// `sinks`: tokens that scorers which ask should leave out.
  score_cache(int group_width, rota::index_t sinks, rota::cpu::backend backend,
              sequence_extras extras)
      : group_width_(group_width), sinks_(sinks), backend_(backend), extras_(std::move(extras)) {}

  /// Views of the scores that a method selects by; they stay valid as long as this. The contexts
  /// must be the same in every call. Layers up to the predictor's split have its fallback's scores.
  std::vector<rota::layer_scores> of(const method& m, const std::vector<layer_context>& contexts) {
    std::vector<rota::layer_scores> out(contexts.size());
    const method early = without_predictor(m, extras_.fallback);
    for (std::size_t i = 0; i < contexts.size(); ++i) {
      const method& mine = i < split_of(m) ? early : m;
      if (mine.tokens) out[i].tokens = tokens(mine.tokens->scorer, contexts[i], i).view;
      if (mine.groups) out[i].groups = groups(mine.groups->scorer, contexts[i], i).view;
    }
    return out;
  }

  /// The first layer that the method's own scorers rank; those before have the fallback's.
  std::size_t split_of(const method& m) const {
    return m.uses_predictor() ? extras_.shared.predictor->split : 0;
  }
  const fallback_choice& fallback() const { return extras_.fallback; }

 private:
  using outputs_context =
      rota::context<element, rota::window_queries, rota::query_moments, rota::rope_frequencies,
                    rota::output_projection, rota::output_gram>;
  static std::string where(std::size_t layer) { return "scores of layer " + std::to_string(layer); }

  const scored<2>& tokens(token_scorer which, const layer_context& c, std::size_t layer) {
    if (which == token_scorer::predictor) return extras_.predicted->tokens().at(layer);
    const auto [found, fresh] =
        tokens_.try_emplace(std::pair(which, layer), c.kv_heads(), c.tokens());
    const scored<2>& out = found->second;
    if (!fresh) return out;
    if (which == token_scorer::oracle) {
      add_groups(extras_.oracle.at(layer).view, out.view);
    } else {
      with_token_scorer(which, [&]<class Scorer>() {
        score_tokens<Scorer>(with_outputs(last_queries(c, c.tokens()), layer), layer, out.view);
      });
    }
    return out;
  }

  const scored<3>& groups(group_scorer which, const layer_context& c, std::size_t layer) {
    if (which == group_scorer::oracle) return extras_.oracle.at(layer);
    if (which == group_scorer::predictor) return extras_.predicted->groups().at(layer);
    const auto [found, fresh] = groups_.try_emplace(std::pair(which, layer), c.kv_heads(),
                                                    c.tokens(), c.d_v() / group_width_);
    const scored<3>& out = found->second;
    if (!fresh) return out;
    const rota::index_t kernel = which == group_scorer::pooled_attention_mass ? 5 : 1;
    with_group_scorer(which, [&]<class Scorer>() {
      score_groups<Scorer>(with_outputs(last_queries(c, extras_.window), layer), layer, out.view,
                           kernel);
    });
    return out;
  }

  template <class Scorer, class Context>
  void score_tokens(const Context& c, std::size_t layer, const rota::view<float, 2>& out) {
    typename Scorer::params p;
    if constexpr (requires { p.sinks; }) p.sinks = sinks_;
    if constexpr (requires { p.base.use_value_norm; }) {
      p.base.sinks = sinks_;
      p.base.use_value_norm = false;  // W_O v stands in its place
    }
    const rota::workspace ws =
        scratch_.at_least(rota::cpu::score_tokens_workspace_bytes(backend_, Scorer{}, p, c));
    require(rota::cpu::score_tokens(backend_, Scorer{}, p, c, out, ws), where(layer));
  }

  template <class Scorer, class Context>
  void score_groups(const Context& c, std::size_t layer, const rota::view<float, 3>& out,
                    rota::index_t pool_kernel = 1) {
    typename Scorer::params p;
    if constexpr (requires { p.pool_kernel; }) p.pool_kernel = pool_kernel;
    const rota::workspace ws = scratch_.at_least(
        rota::cpu::score_groups_workspace_bytes(backend_, Scorer{}, p, c, group_width_));
    require(rota::cpu::score_groups(backend_, Scorer{}, p, c, group_width_, out, ws), where(layer));
  }

  /// The context with at most its last `count` queries: some scorers asked for more.
  static layer_context last_queries(layer_context c, rota::index_t count) {
    const rota::index_t dropped = std::max<rota::index_t>(0, c.queries.extent[0] - count);
    c.queries.data += dropped * c.queries.stride[0];
    c.queries.extent[0] -= dropped;
    return c;
  }

  /// The context with what it takes to look behind the output projection, where a method does.
  outputs_context with_outputs(const layer_context& c, std::size_t layer) const {
    outputs_context out;
    static_cast<rota::window_queries&>(out) = c;
    static_cast<rota::query_moments&>(out) = c;
    static_cast<rota::rope_frequencies&>(out) = c;
    static_cast<rota::context_views<element>&>(out) = c;
    if (extras_.shared.outputs == nullptr) return out;
    static_cast<rota::output_projection&>(out) = extras_.shared.outputs->projection(layer);
    static_cast<rota::output_gram&>(out) = extras_.shared.outputs->gram(layer);
    return out;
  }

  /// A token matters as much as all its groups.
  static void add_groups(const rota::view<float, 3>& from, const rota::view<float, 2>& to) {
    for (rota::index_t h = 0; h < to.extent[0]; ++h) {
      for (rota::index_t i = 0; i < to.extent[1]; ++i) {
        for (rota::index_t s = 0; s < from.extent[2]; ++s) to(h, i) += from(h, i, s);
      }
    }
  }

  int group_width_;
  rota::index_t sinks_;
  rota::cpu::backend backend_;
  sequence_extras extras_;
  std::map<std::pair<token_scorer, std::size_t>, scored<2>> tokens_;  ///< by scorer and layer
  std::map<std::pair<group_scorer, std::size_t>, scored<3>> groups_;
  scratch_memory scratch_;
};

}  // namespace rota_lm::eval

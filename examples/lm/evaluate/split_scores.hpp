// A predictor's scores, made while the prefill is at the split layer.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "engine/attention_seam.hpp"
#include "engine/error.hpp"
#include "engine/predictor_file.hpp"
#include "engine/rota_call.hpp"
#include "evaluate/sequence.hpp"

namespace rota_lm::eval {

/// Observes a prefill of one forward pass and scores, at the predictor's split, all layers from
/// there on. The hidden states need not be kept: what is left of them is one number for each
/// (layer, kv head, token) or group.
class split_scores final : public layer_observer {
 public:
  struct wanted {
    bool tokens = false;
    bool groups = false;
  };

  /// Scores the first `tokens` of the prefill; the last rows of all are the query. Without a
  /// predictor, or where nothing is wanted, does nothing.
  split_scores(const fitted_predictor* predictor, wanted what, std::size_t tokens,
               rota::cpu::backend backend)
      : predictor_(predictor), wanted_(what), tokens_(tokens), backend_(backend) {}

  void on_layer(const layer_trace& t) override {
    if (predictor_ == nullptr || t.layer != predictor_->split) return;
    if (!wanted_.tokens && !wanted_.groups) return;
    if (t.first_position != 0 || t.tokens < tokens_) {
      fail("predictor", "needs the whole prefill in one forward pass");
    }
    const auto start = std::chrono::steady_clock::now();
    if (predictor_->conditioned()) {
      score<rota::query_conditioned>(t);
    } else {
      score<rota::query_blind>(t);
    }
    seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  /// [layers]; those before the split are empty.
  const std::vector<scored<2>>& tokens() const { return by_token_; }
  const std::vector<scored<3>>& groups() const { return by_group_; }
  /// What the scoring took, as part of the prefill.
  double seconds() const { return seconds_; }

 private:
  /// Keys and values are there for their shapes: a predictor does not read them, and those of the
  /// later layers are not made yet.
  using context_type = rota::context<float, rota::split_states, rota::linear_relevance,
                                     rota::query_states, rota::bilinear_relevance>;

  template <rota::predictor_form Form>
  void score(const layer_trace& t) {
    const auto& shape = predictor_->shape;
    const auto layers = predictor_->split + static_cast<std::size_t>(shape.layers);
    for (std::size_t layer = 0; layer < layers; ++layer) {
      const bool ranked = layer >= predictor_->split;
      const auto rows = static_cast<rota::index_t>(ranked ? tokens_ : 0);
      if (wanted_.tokens) {
        const auto& out = by_token_.emplace_back(shape.kv_heads, rows);
        if (ranked) score_tokens(rota::token_predictor<Form>{}, context_of(t, layer), out.view);
      }
      if (wanted_.groups) {
        const auto& out = by_group_.emplace_back(shape.kv_heads, rows, shape.groups);
        if (ranked) score_groups(rota::predictor<Form>{}, context_of(t, layer), out.view);
      }
    }
  }

  template <class Scorer>
  void score_tokens(Scorer s, const context_type& c, const rota::view<float, 2>& out) {
    const rota::workspace ws =
        scratch_.at_least(rota::cpu::score_tokens_workspace_bytes(backend_, s, {}, c));
    require(rota::cpu::score_tokens(backend_, s, {}, c, out, ws), "predictor");
  }

  template <class Scorer>
  void score_groups(Scorer s, const context_type& c, const rota::view<float, 3>& out) {
    const auto width = static_cast<int>(predictor_->group_width);
    const rota::workspace ws =
        scratch_.at_least(rota::cpu::score_groups_workspace_bytes(backend_, s, {}, c, width));
    require(rota::cpu::score_groups(backend_, s, {}, c, width, out, ws), "predictor");
  }

  context_type context_of(const layer_trace& t, std::size_t layer) const {
    const rota::train::predictor_weights<const float> w = predictor_->layer(layer);
    const auto rows = static_cast<rota::index_t>(tokens_);
    const auto all = static_cast<rota::index_t>(t.tokens);
    const rota::index_t asking = std::min(all, static_cast<rota::index_t>(predictor_->window));
    const rota::index_t heads = predictor_->shape.kv_heads, width = predictor_->shape.hidden;
    const float* const states = t.attention_input.data();
    using matrix_view = rota::view<const float, 2>;
    using heads_view = rota::view<const float, 3>;
    context_type c;
    c.keys = heads_view(t.k.data(), rows, heads, t.k.cols() / heads);
    c.values = heads_view(t.v.data(), rows, heads, t.v.cols() / heads);
    c.hidden = matrix_view(states, rows, width);
    c.query_hidden = matrix_view(states + (all - asking) * width, asking, width);
    c.linear = w.linear;
    c.bias = w.bias;
    c.token_factor = w.token_factor;
    c.query_factor = w.query_factor;
    c.mix = w.mix;
    return c;
  }

  const fitted_predictor* predictor_;
  wanted wanted_;
  std::size_t tokens_;
  rota::cpu::backend backend_;
  scratch_memory scratch_;
  std::vector<scored<2>> by_token_;
  std::vector<scored<3>> by_group_;
  double seconds_ = 0;
};

}  // namespace rota_lm::eval

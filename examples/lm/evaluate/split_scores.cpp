#include "evaluate/split_scores.hpp"

#include <algorithm>
#include <chrono>

#include <rota/cpu/score.hpp>
#include <rota/policy/context.hpp>
#include <rota/score/predictor.hpp>

#include "engine/error.hpp"
#include "engine/predictor_file.hpp"
#include "engine/rota_call.hpp"
#include "engine/scratch_memory.hpp"

namespace rota_lm::eval {
namespace {

/// Keys and values are there for their shapes: a predictor does not read them, and those of the
/// later layers are not made yet.
using split_context = rota::context<float, rota::split_states, rota::linear_relevance,
                                    rota::query_states, rota::bilinear_relevance>;

/// What a layer's part of the predictor reads of a trace whose first `tokens` are scored.
split_context context_of(const fitted_predictor& predictor, const layer_trace& t,
                         std::size_t tokens, std::size_t layer) {
  const rota::train::predictor_weights<const float> w = predictor.layer(layer);
  const auto rows = static_cast<rota::index_t>(tokens);
  const auto all = static_cast<rota::index_t>(t.tokens);
  const rota::index_t asking = std::min(all, static_cast<rota::index_t>(predictor.window));
  const rota::index_t heads = predictor.shape.kv_heads, width = predictor.shape.hidden;
  const float* const states = t.attention_input.data();
  using matrix_view = rota::view<const float, 2>;
  using heads_view = rota::view<const float, 3>;
  split_context c;
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

template <rota::predictor_form Form>
void score_layer_tokens(const split_context& c, const rota::cpu::backend& b,
                        scratch_memory& scratch, const rota::view<float, 2>& out) {
  const rota::token_predictor<Form> s;
  const rota::workspace ws = scratch.at_least(rota::cpu::score_tokens_workspace_bytes(b, s, {}, c));
  require(rota::cpu::score_tokens(b, s, {}, c, out, ws), "predictor");
}

template <rota::predictor_form Form>
void score_layer_groups(const split_context& c, int width, const rota::cpu::backend& b,
                        scratch_memory& scratch, const rota::view<float, 3>& out) {
  const rota::predictor<Form> s;
  const rota::workspace ws =
      scratch.at_least(rota::cpu::score_groups_workspace_bytes(b, s, {}, c, width));
  require(rota::cpu::score_groups(b, s, {}, c, width, out, ws), "predictor");
}

}  // namespace

void split_scores::on_layer(const layer_trace& t) {
  if (predictor_ == nullptr || t.layer != predictor_->split) return;
  if (!wanted_.tokens && !wanted_.groups) return;
  if (t.first_position != 0 || t.tokens < tokens_) {
    fail("predictor", "needs the whole prefill in one forward pass");
  }
  const auto start = std::chrono::steady_clock::now();
  const bool asks = predictor_->conditioned();
  const auto& shape = predictor_->shape;
  const auto width = static_cast<int>(predictor_->group_width);
  const auto layers = predictor_->split + static_cast<std::size_t>(shape.layers);
  scratch_memory scratch;
  for (std::size_t layer = 0; layer < layers; ++layer) {
    const bool ranked = layer >= predictor_->split;
    const auto rows = static_cast<rota::index_t>(ranked ? tokens_ : 0);
    if (wanted_.tokens) by_token_.emplace_back(shape.kv_heads, rows);
    if (wanted_.groups) by_group_.emplace_back(shape.kv_heads, rows, shape.groups);
    if (!ranked) continue;
    const split_context c = context_of(*predictor_, t, tokens_, layer);
    if (wanted_.tokens) {
      (asks ? score_layer_tokens<rota::query_conditioned>
            : score_layer_tokens<rota::query_blind>)(c, backend_, scratch, by_token_.back().view);
    }
    if (wanted_.groups) {
      (asks ? score_layer_groups<rota::query_conditioned>
            : score_layer_groups<rota::query_blind>)(c, width, backend_, scratch,
                                                     by_group_.back().view);
    }
  }
  seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace rota_lm::eval

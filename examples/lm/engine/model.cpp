#include "engine/model.hpp"

#include <algorithm>
#include <utility>

#include "engine/checkpoint.hpp"
#include "engine/error.hpp"

namespace rota_lm {

model model::load(const std::string& directory) {
  model_config config = load_config(directory);
  model_weights weights = load_weights(checkpoint(directory), config);
  return model(std::move(config), std::move(weights));
}

model::model(model_config config, model_weights weights)
    : config_(std::move(config)),
      weights_(std::move(weights)),
      rope_(config_.rope, config_.head_dim) {}

void model::adapt(std::shared_ptr<const projection_adapters> adapters) {
  adapters_ = std::move(adapters);
}

matrix model::forward(std::span<const token_id> ids, attention_cache& cache, std::size_t last,
                      layer_observer* observer) const {
  check_ids(ids);
  const std::size_t first = cache.next_position();
  matrix x = embed(ids);
  const rope::table angles = rope_.angles(first, ids.size());
  for (std::size_t layer = 0; layer < config_.layers; ++layer) {
    attention_half(layer, first, angles, x, cache, observer);
    mlp_half(layer, x);
  }
  cache.advance(ids.size());
  return logits(x, std::min(last, ids.size()));
}

void model::check_ids(std::span<const token_id> ids) const {
  if (ids.empty()) fail("forward", "no tokens");
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || static_cast<std::size_t>(ids[i]) >= config_.vocab_size) {
      fail("forward", "token id " + std::to_string(ids[i]) + " at " + std::to_string(i) +
                          " is outside the vocabulary of " + std::to_string(config_.vocab_size));
    }
  }
}

matrix model::embed(std::span<const token_id> ids) const {
  matrix x(static_cast<Eigen::Index>(ids.size()), weights_.embedding.cols());
  for (Eigen::Index i = 0; i < x.rows(); ++i) {
    x.row(i) = weights_.embedding.row(ids[static_cast<std::size_t>(i)]);
  }
  return x;
}

matrix model::projected(std::size_t layer, target t, const linear& w, const matrix& x) const {
  matrix y = w(x);
  if (adapters_) adapters_->add(layer, t, x, y);
  return y;
}

matrix model::normed(const matrix& x, const row_vector& gain) const {
  matrix y = x;
  rms_norm_inplace(values(y), gain, config_.norm_eps);
  return y;
}

void model::attention_half(std::size_t layer, std::size_t first, const rope::table& angles,
                           matrix& x, attention_cache& cache, layer_observer* observer) const {
  const layer_weights& w = weights_.layers[layer];
  const auto tokens = static_cast<std::size_t>(x.rows());
  const matrix input = normed(x, w.attention_norm);
  matrix q_pre_rope = projected(layer, target::q, w.q, input);
  matrix k_pre_rope = projected(layer, target::k, w.k, input);
  const matrix v = projected(layer, target::v, w.v, input);
  if (config_.qk_norm) {  // per head: the gain is head_dim wide
    rms_norm_inplace(values(q_pre_rope), w.q_norm, config_.norm_eps);
    rms_norm_inplace(values(k_pre_rope), w.k_norm, config_.norm_eps);
  }
  matrix q = q_pre_rope;
  matrix k = k_pre_rope;
  rope_.rotate(angles, config_.q_heads, values(q));
  rope_.rotate(angles, config_.kv_heads, values(k));
  if (observer != nullptr)
    observer->on_layer({layer, first, tokens, x, input, q_pre_rope, k_pre_rope, q, k, v});
  matrix mixed(x.rows(), q.cols());
  cache.attend(attention_call{layer, first, tokens, values(std::as_const(q)),
                              values(std::as_const(k)), values(v), values(mixed)});
  x += projected(layer, target::o, w.o, mixed);
}

void model::mlp_half(std::size_t layer, matrix& x) const {
  const layer_weights& w = weights_.layers[layer];
  const matrix input = normed(x, w.mlp_norm);
  matrix gate = projected(layer, target::gate, w.gate, input);
  silu_gate_inplace(gate, projected(layer, target::up, w.up, input));
  x += projected(layer, target::down, w.down, gate);
}

matrix model::logits(const matrix& x, std::size_t last) const {
  const matrix tail = normed(x.bottomRows(static_cast<Eigen::Index>(last)), weights_.final_norm);
  return project(tail, weights_.output());
}

}  // namespace rota_lm

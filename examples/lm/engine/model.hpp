// The forward pass, layer by layer, with attention behind a seam.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "engine/attention_seam.hpp"
#include "engine/checkpoint.hpp"
#include "engine/config.hpp"
#include "engine/error.hpp"
#include "engine/matrix.hpp"
#include "engine/projection_seam.hpp"
#include "engine/rope.hpp"
#include "engine/weights.hpp"

namespace rota_lm {

/// A decoder-only transformer. forward() changes nothing: any number of threads may run
/// forward() at once, each with its own cache.
class model {
 public:
  /// Reads config.json and the weights in folder `directory`.
  static model load(const std::string& directory) {
    model_config config = load_config(directory);
    model_weights weights = load_weights(checkpoint(directory), config);
    return model(std::move(config), std::move(weights));
  }

  model(model_config config, model_weights weights)
      : config_(std::move(config)),
        weights_(std::move(weights)),
        rope_(config_.rope, config_.head_dim) {}

  /// From here on every projection has its adapter's part. Not while another thread runs
  /// forward(). Null: none.
  void adapt(std::shared_ptr<const projection_adapters> adapters) {
    adapters_ = std::move(adapters);
  }

  const model_config& config() const { return config_; }
  const model_weights& weights() const { return weights_; }
  const rope& rotary() const { return rope_; }
  const projection_adapters* adapters() const { return adapters_.get(); }

  /// Runs `ids`, which follow the tokens that `cache` has seen, and appends them to it. Returns the
  /// logits [min(last, n), vocab] of the last `last` of the n tokens; all_tokens for all of them, 0
  /// to run the cache alone. Throws on an id outside the vocabulary or no ids, before anything else
  /// happens; what the cache throws leaves the cache unusable.
  template <attention_cache Cache, layer_observer Observer = no_observer>
  matrix forward(std::span<const token_id> ids, Cache& cache, std::size_t last = 1,
                 Observer&& observer = {}) const {
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

  static constexpr std::size_t all_tokens = static_cast<std::size_t>(-1);

 private:
  void check_ids(std::span<const token_id> ids) const {
    if (ids.empty()) fail("forward", "no tokens");
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] < 0 || static_cast<std::size_t>(ids[i]) >= config_.vocab_size) {
        fail("forward", "token id " + std::to_string(ids[i]) + " at " + std::to_string(i) +
                            " is outside the vocabulary of " + std::to_string(config_.vocab_size));
      }
    }
  }

  matrix embed(std::span<const token_id> ids) const {
    matrix x(static_cast<Eigen::Index>(ids.size()), weights_.embedding.cols());
    for (Eigen::Index i = 0; i < x.rows(); ++i) {
      x.row(i) = weights_.embedding.row(ids[static_cast<std::size_t>(i)]);
    }
    return x;
  }

  matrix projected(std::size_t layer, target t, const linear& w, const matrix& x) const {
    matrix y = w(x);
    if (adapters_) adapters_->add(layer, t, x, y);
    return y;
  }

  matrix normed(const matrix& x, const row_vector& gain) const {
    matrix y = x;
    rms_norm_inplace(values(y), gain, config_.norm_eps);
    return y;
  }

  /// x <- x + O(attention(Q, K, V of norm(x))).
  template <class Cache, class Observer>
  void attention_half(std::size_t layer, std::size_t first, const rope::table& angles, matrix& x,
                      Cache& cache, Observer& observer) const {
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
    observer.on_layer(layer_trace{layer, first, tokens, x, input, q_pre_rope, k_pre_rope, q, k, v});
    matrix mixed(x.rows(), q.cols());
    cache.attend(attention_call{layer, first, tokens, values(std::as_const(q)),
                                values(std::as_const(k)), values(v), values(mixed)});
    x += projected(layer, target::o, w.o, mixed);
  }

  /// x <- x + down(silu(gate(norm(x))) * up(norm(x))).
  void mlp_half(std::size_t layer, matrix& x) const {
    const layer_weights& w = weights_.layers[layer];
    const matrix input = normed(x, w.mlp_norm);
    matrix gate = projected(layer, target::gate, w.gate, input);
    silu_gate_inplace(gate, projected(layer, target::up, w.up, input));
    x += projected(layer, target::down, w.down, gate);
  }

  matrix logits(const matrix& x, std::size_t last) const {
    const matrix tail = normed(x.bottomRows(static_cast<Eigen::Index>(last)), weights_.final_norm);
    return project(tail, weights_.output());
  }

  model_config config_;
  model_weights weights_;
  rope rope_;
  std::shared_ptr<const projection_adapters> adapters_;
};

}  // namespace rota_lm

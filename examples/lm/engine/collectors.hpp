// Observers that gather what compression policies ask of a prefill.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "engine/attention_seam.hpp"
#include "engine/config.hpp"
#include "engine/eigen.hpp"
#include "engine/error.hpp"
#include "engine/matrix.hpp"

namespace rota_lm {

/// Mean and covariance of the queries before RoPE, per layer and query head, over all tokens seen
/// from position `skip` on. Streaming: prefills of any split give the same, to rounding.
class query_statistics {
 public:
  using vector = Eigen::VectorXd;
  using square = Eigen::MatrixXd;

  explicit query_statistics(const model_config& config, std::size_t skip = 4)
      : heads_(config.q_heads), skip_(skip), moments_(config.layers * config.q_heads) {
    const auto d = static_cast<Eigen::Index>(config.head_dim);
    for (moment& m : moments_) {
      m.mean = vector::Zero(d);
      m.scatter = square::Zero(d, d);
    }
  }

  void on_layer(const layer_trace& t) {
    const std::size_t leave =
        t.first_position >= skip_ ? 0 : std::min(skip_ - t.first_position, t.tokens);
    if (leave == t.tokens) return;
    for (std::size_t head = 0; head < heads_; ++head) {
      moment& m = moments_[t.layer * heads_ + head];
      const Eigen::Index d = m.mean.size();
      merge(m, t.q_pre_rope.block(static_cast<Eigen::Index>(leave),
                                  static_cast<Eigen::Index>(head) * d,
                                  static_cast<Eigen::Index>(t.tokens - leave), d));
    }
  }

  /// Queries counted in this layer.
  std::size_t count(std::size_t layer) const { return moments_[layer * heads_].count; }
  /// [head_dim]; zero while nothing was counted.
  const vector& mean(std::size_t layer, std::size_t q_head) const { return at(layer, q_head).mean; }
  /// [head_dim, head_dim], divided by the count (the population's covariance).
  square covariance(std::size_t layer, std::size_t q_head) const {
    const moment& m = at(layer, q_head);
    return m.scatter / static_cast<double>(std::max<std::size_t>(m.count, 1));
  }

 private:
  struct moment {
    std::size_t count = 0;
    vector mean;
    square scatter;  // sum of (q - mean)(q - mean)'
  };

  const moment& at(std::size_t layer, std::size_t q_head) const {
    return moments_.at(layer * heads_ + q_head);
  }

  /// Chan's pairwise update with the batch's own mean and scatter; in double.
  template <class Block>
  static void merge(moment& m, const Block& rows) {
    const auto fresh = static_cast<double>(rows.rows());
    const auto old = static_cast<double>(m.count);
    Eigen::MatrixXd batch = rows.template cast<double>();
    const vector batch_mean = batch.colwise().mean().transpose();
    batch.rowwise() -= batch_mean.transpose();
    const vector shift = batch_mean - m.mean;
    m.scatter.noalias() += batch.transpose() * batch;
    m.scatter.noalias() += shift * shift.transpose() * (old * fresh / (old + fresh));
    m.mean += shift * (fresh / (old + fresh));
    m.count += static_cast<std::size_t>(rows.rows());
  }

  std::size_t heads_;
  std::size_t skip_;
  std::vector<moment> moments_;
};

/// The last W queries after RoPE, per layer.
class query_window {
 public:
  query_window(const model_config& config, std::size_t window)
      : window_(window), width_(config.q_heads * config.head_dim), kept_(config.layers) {}

  void on_layer(const layer_trace& t) {
    std::vector<float>& kept = kept_.at(t.layer);
    const std::span<const float> fresh = values(t.q);
    kept.insert(kept.end(), fresh.begin(), fresh.end());
    const std::size_t limit = window_ * width_;
    if (kept.size() > limit) kept.erase(kept.begin(), kept.end() - static_cast<long>(limit));
  }

  /// Tokens held for this layer: W, or all that were seen if fewer.
  std::size_t tokens(std::size_t layer) const { return kept_.at(layer).size() / width_; }
  /// [tokens(layer), q_heads, head_dim], oldest first.
  std::span<const float> queries(std::size_t layer) const { return kept_.at(layer); }

 private:
  std::size_t window_;
  std::size_t width_;
  std::vector<std::vector<float>> kept_;
};

/// The hidden states that enter the attention of chosen layers (after the layer's first norm), or
/// the residual stream that enters the layer.
class hidden_states {
 public:
  enum class point { attention_input, residual };

  /// `layers`: which to keep; each costs tokens * hidden floats.
  hidden_states(const model_config& config, std::span<const std::size_t> layers,
                point where = point::attention_input)
      : where_(where), width_(config.hidden_size), wanted_(config.layers), kept_(config.layers) {
    for (const std::size_t layer : layers) {
      if (layer >= config.layers) fail("hidden_states", "no layer " + std::to_string(layer));
      wanted_[layer] = true;
    }
  }

  void on_layer(const layer_trace& t) {
    if (!wanted_[t.layer]) return;
    const auto fresh = values(where_ == point::residual ? t.residual : t.attention_input);
    kept_[t.layer].insert(kept_[t.layer].end(), fresh.begin(), fresh.end());
  }

  /// [tokens, hidden] of a kept layer; empty for others.
  std::span<const float> of(std::size_t layer) const { return kept_.at(layer); }
  std::size_t width() const { return width_; }

 private:
  point where_;
  std::size_t width_;
  std::vector<bool> wanted_;
  std::vector<std::vector<float>> kept_;
};

}  // namespace rota_lm

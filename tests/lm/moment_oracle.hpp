// Moments of queries in double, to check the library's running ones against.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include <rota/cpu/eigen.hpp>

#include "engine/attention_seam.hpp"
#include "engine/config.hpp"

namespace rota_lm_test {

/// Mean and covariance of the queries before RoPE, per layer and query head, over all tokens seen
/// from position `skip` on. Streaming: prefills of any split give the same, to rounding.
class moment_oracle final : public rota_lm::layer_observer {
 public:
  using vector = Eigen::VectorXd;
  using square = Eigen::MatrixXd;

  explicit moment_oracle(const rota_lm::model_config& config, std::size_t skip = 4)
      : heads_(config.q_heads), skip_(skip), moments_(config.layers * config.q_heads) {
    const auto d = static_cast<Eigen::Index>(config.head_dim);
    for (moment& m : moments_) {
      m.mean = vector::Zero(d);
      m.scatter = square::Zero(d, d);
    }
  }

  void on_layer(const rota_lm::layer_trace& t) override {
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

}  // namespace rota_lm_test

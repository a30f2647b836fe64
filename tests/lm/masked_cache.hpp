// An oracle for packed caches: dense float keys and values, with the tokens and groups that a
// selection dropped masked out, attended over in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/attention_seam.hpp"
#include "engine/config.hpp"
#include "engine/error.hpp"

namespace rota_lm_test {

class masked_cache final : public rota_lm::attention_cache {
 public:
  /// One token of one kv head; dropped value groups already zero.
  struct entry {
    std::size_t position;
    std::vector<double> key, value;
  };

  masked_cache(const rota_lm::model_config& config, std::size_t length)
      : config_(config), length_(length), kept_(config.layers * config.kv_heads) {}

  void keep(std::size_t layer, std::size_t kv_head, entry token) {
    kept_[layer * config_.kv_heads + kv_head].push_back(std::move(token));
  }

  std::size_t next_position() const override { return length_; }
  void advance(std::size_t tokens) override { length_ += tokens; }
  void truncate(std::size_t) override { rota_lm::fail("masked cache", "cannot be truncated"); }

  void attend(const rota_lm::attention_call& call) override {
    const std::size_t d = config_.head_dim;
    for (std::size_t i = 0; i < call.tokens; ++i) {
      for (std::size_t h = 0; h < config_.kv_heads; ++h) {
        const float* k = call.k.data() + (i * config_.kv_heads + h) * d;
        const float* v = call.v.data() + (i * config_.kv_heads + h) * d;
        keep(call.layer, h, {call.first_position + i, {k, k + d}, {v, v + d}});
      }
    }
    for (std::size_t i = 0; i < call.tokens; ++i) {
      for (std::size_t head = 0; head < config_.q_heads; ++head) attend_row(call, i, head);
    }
  }

 private:
  void attend_row(const rota_lm::attention_call& call, std::size_t i, std::size_t head) const {
    const std::size_t d = config_.head_dim;
    const std::size_t at = call.first_position + i;
    const std::size_t window = config_.sliding_window[call.layer];
    const float* q = call.q.data() + (i * config_.q_heads + head) * d;
    const auto& tokens = kept_[call.layer * config_.kv_heads + head / config_.group()];
    std::vector<double> sum(d, 0.0);
    double total = 0;
    for (const entry& token : tokens) {
      if (token.position > at || (window != 0 && token.position + window <= at)) continue;
      double logit = 0;
      for (std::size_t x = 0; x < d; ++x) logit += q[x] * token.key[x];
      const double weight = std::exp(logit / std::sqrt(static_cast<double>(d)));
      total += weight;
      for (std::size_t x = 0; x < d; ++x) sum[x] += weight * token.value[x];
    }
    float* out = call.out.data() + (i * config_.q_heads + head) * d;
    for (std::size_t x = 0; x < d; ++x) out[x] = static_cast<float>(total > 0 ? sum[x] / total : 0);
  }

  const rota_lm::model_config& config_;
  std::size_t length_;
  std::vector<std::vector<entry>> kept_;
};

}  // namespace rota_lm_test

// The plainest cache there can be: float keys and values in growing arrays, causal grouped-query
// attention by matrix products. It uses nothing of Rota, so that it can check what does.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "engine/attention_seam.hpp"
#include "engine/config.hpp"
#include "engine/error.hpp"
#include "engine/matrix.hpp"

namespace rota_lm {

/// A dense float cache; satisfies attention_cache.
class plain_cache {
 public:
  explicit plain_cache(const model_config& config)
      : q_heads_(config.q_heads),
        kv_heads_(config.kv_heads),
        head_dim_(config.head_dim),
        windows_(config.sliding_window),
        layers_(config.layers) {}

  std::size_t next_position() const { return length_; }
  void advance(std::size_t tokens) { length_ += tokens; }

  void attend(const attention_call& call) {
    if (call.first_position != length_) fail("plain_cache", "tokens must follow those it holds");
    kept& layer = layers_.at(call.layer);
    layer.k.insert(layer.k.end(), call.k.begin(), call.k.end());
    layer.v.insert(layer.v.end(), call.v.begin(), call.v.end());
    for (std::size_t head = 0; head < q_heads_; ++head) {
      for (std::size_t first = 0; first < call.tokens; first += block) {
        attend_block(call, layer, head, first, std::min(block, call.tokens - first));
      }
    }
  }

  /// Keys after RoPE and values of a layer, [tokens, kv_heads, head_dim].
  std::span<const float> keys(std::size_t layer) const { return layers_.at(layer).k; }
  std::span<const float> values(std::size_t layer) const { return layers_.at(layer).v; }

 private:
  struct kept {
    std::vector<float> k;
    std::vector<float> v;
  };
  using strided = Eigen::Map<const matrix, 0, Eigen::OuterStride<>>;

  static constexpr std::size_t block = 64;  // query rows at a time: scores stay in cache

  /// One query head's rows of a [tokens, heads, head_dim] array, as a matrix.
  strided head_rows(std::span<const float> data, std::size_t heads, std::size_t head,
                    std::size_t first, std::size_t count) const {
    return {data.data() + (first * heads + head) * head_dim_, static_cast<Eigen::Index>(count),
            static_cast<Eigen::Index>(head_dim_),
            Eigen::OuterStride<>(static_cast<Eigen::Index>(heads * head_dim_))};
  }

  void attend_block(const attention_call& call, const kept& layer, std::size_t head,
                    std::size_t first, std::size_t count) const {
    const std::size_t kv_head = head / (q_heads_ / kv_heads_);
    const std::size_t window = windows_[call.layer];
    const std::size_t first_query = call.first_position + first;
    const std::size_t end_key = first_query + count;
    const std::size_t first_key = oldest_visible(first_query, window);
    const std::size_t keys = end_key - first_key;
    const strided q = head_rows(call.q, q_heads_, head, first, count);
    const strided k = head_rows(layer.k, kv_heads_, kv_head, first_key, keys);
    const strided v = head_rows(layer.v, kv_heads_, kv_head, first_key, keys);
    matrix scores = q * k.transpose() / std::sqrt(static_cast<float>(head_dim_));
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t oldest = oldest_visible(first_query + i, window) - first_key;
      softmax_row(scores, i, oldest, first_query + i + 1 - first_key);
    }
    Eigen::Map<matrix, 0, Eigen::OuterStride<>> out(
        call.out.data() + (first * q_heads_ + head) * head_dim_, static_cast<Eigen::Index>(count),
        static_cast<Eigen::Index>(head_dim_),
        Eigen::OuterStride<>(static_cast<Eigen::Index>(q_heads_ * head_dim_)));
    out.noalias() = scores * v;
  }

  static std::size_t oldest_visible(std::size_t query, std::size_t window) {
    return window == 0 || query + 1 <= window ? 0 : query + 1 - window;
  }

  /// Softmax over columns [begin, end) of a row; zero elsewhere.
  static void softmax_row(matrix& scores, std::size_t row, std::size_t begin, std::size_t end) {
    auto all = scores.row(static_cast<Eigen::Index>(row));
    auto seen =
        all.segment(static_cast<Eigen::Index>(begin), static_cast<Eigen::Index>(end - begin));
    const float top = seen.maxCoeff();
    seen = (seen.array() - top).exp().matrix();
    seen /= seen.sum();
    all.head(static_cast<Eigen::Index>(begin)).setZero();
    all.tail(all.size() - static_cast<Eigen::Index>(end)).setZero();
  }

  std::size_t q_heads_;
  std::size_t kv_heads_;
  std::size_t head_dim_;
  std::vector<std::size_t> windows_;
  std::vector<kept> layers_;
  std::size_t length_ = 0;
};

static_assert(attention_cache<plain_cache>);

}  // namespace rota_lm

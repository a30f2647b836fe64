#include "engine/plain_cache.hpp"

#include <algorithm>
#include <cmath>

#include "engine/error.hpp"
#include "engine/matrix.hpp"

namespace rota_lm {
namespace {

using strided = Eigen::Map<const matrix, 0, Eigen::OuterStride<>>;

constexpr std::size_t block = 64;  // query rows at a time: scores stay in cache

/// One head's rows [first, first + count) of a [tokens, heads, d] array, as a matrix.
strided head_rows(std::span<const float> data, std::size_t heads, std::size_t d, std::size_t head,
                  std::size_t first, std::size_t count) {
  return {data.data() + (first * heads + head) * d, static_cast<Eigen::Index>(count),
          static_cast<Eigen::Index>(d), Eigen::OuterStride<>(static_cast<Eigen::Index>(heads * d))};
}

std::size_t oldest_visible(std::size_t query, std::size_t window) {
  return window == 0 || query < window ? 0 : query + 1 - window;
}

/// Softmax over columns [begin, end) of a row; zero elsewhere.
void softmax_row(matrix& scores, std::size_t row, std::size_t begin, std::size_t end) {
  auto all = scores.row(static_cast<Eigen::Index>(row));
  auto seen = all.segment(static_cast<Eigen::Index>(begin), static_cast<Eigen::Index>(end - begin));
  const float top = seen.maxCoeff();
  seen = (seen.array() - top).exp().matrix();
  seen /= seen.sum();
  all.head(static_cast<Eigen::Index>(begin)).setZero();
  all.tail(all.size() - static_cast<Eigen::Index>(end)).setZero();
}

}  // namespace

plain_cache::plain_cache(const model_config& config)
    : q_heads_(config.q_heads),
      kv_heads_(config.kv_heads),
      head_dim_(config.head_dim),
      windows_(config.sliding_window),
      layers_(config.layers) {}

void plain_cache::attend(const attention_call& call) {
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

void plain_cache::truncate(std::size_t length) {
  if (length > length_) fail("plain_cache", "cannot be truncated to more than it holds");
  for (kept& layer : layers_) {
    layer.k.resize(length * kv_heads_ * head_dim_);
    layer.v.resize(length * kv_heads_ * head_dim_);
  }
  length_ = length;
}

void plain_cache::attend_block(const attention_call& call, const kept& layer, std::size_t head,
                               std::size_t first, std::size_t count) const {
  const std::size_t kv_head = head / (q_heads_ / kv_heads_);
  const std::size_t window = windows_[call.layer];
  const std::size_t first_query = call.first_position + first;
  const std::size_t end_key = first_query + count;
  const std::size_t first_key = oldest_visible(first_query, window);
  const std::size_t keys = end_key - first_key;
  const strided q = head_rows(call.q, q_heads_, head_dim_, head, first, count);
  const strided k = head_rows(layer.k, kv_heads_, head_dim_, kv_head, first_key, keys);
  const strided v = head_rows(layer.v, kv_heads_, head_dim_, kv_head, first_key, keys);
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

}  // namespace rota_lm

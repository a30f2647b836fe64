// The plainest cache there can be: float keys and values in growing arrays, causal grouped-query
// attention by matrix products. It uses nothing of Rota, so that it can check what does.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "engine/attention_seam.hpp"
#include "engine/config.hpp"

namespace rota_lm {

/// A dense float cache.
class plain_cache final : public attention_cache {
 public:
  explicit plain_cache(const model_config& config);

  std::size_t next_position() const override { return length_; }
  void advance(std::size_t tokens) override { length_ += tokens; }
  void attend(const attention_call& call) override;
  void truncate(std::size_t length) override;

  /// Keys after RoPE and values of a layer, [tokens, kv_heads, head_dim].
  std::span<const float> keys(std::size_t layer) const { return layers_.at(layer).k; }
  std::span<const float> values(std::size_t layer) const { return layers_.at(layer).v; }

 private:
  struct kept {
    std::vector<float> k;
    std::vector<float> v;
  };

  void attend_block(const attention_call& call, const kept& layer, std::size_t head,
                    std::size_t first, std::size_t count) const;

  std::size_t q_heads_;
  std::size_t kv_heads_;
  std::size_t head_dim_;
  std::vector<std::size_t> windows_;
  std::vector<kept> layers_;
  std::size_t length_ = 0;
};

}  // namespace rota_lm

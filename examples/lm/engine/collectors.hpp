// Observers that gather what compression policies ask of a prefill.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "engine/attention_seam.hpp"
#include "engine/config.hpp"
#include "engine/error.hpp"
#include "engine/matrix.hpp"

namespace rota_lm {

/// The last W queries after RoPE, per layer.
class query_window {
 public:
  query_window(const model_config& config, std::size_t window)
      : window_(window), width_(config.q_heads * config.head_dim), kept_(config.layers) {}

  void on_layer(const layer_trace& t) {
    std::vector<float>& kept = kept_.at(t.layer);
    const std::size_t limit = window_ * width_;
    // The last rows alone: a prefill has thousands.
    std::span<const float> fresh = values(t.q);
    if (fresh.size() > limit) fresh = fresh.last(limit);
    const std::size_t old = std::min(kept.size(), limit - fresh.size());
    kept.erase(kept.begin(), kept.end() - static_cast<std::ptrdiff_t>(old));
    kept.insert(kept.end(), fresh.begin(), fresh.end());
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

// Observers that gather what compression policies ask of a prefill.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "engine/attention_seam.hpp"
#include "engine/config.hpp"

namespace rota_lm {

/// The last W queries after RoPE, per layer.
class query_window final : public layer_observer {
 public:
  query_window(const model_config& config, std::size_t window)
      : window_(window), width_(config.q_heads * config.head_dim), kept_(config.layers) {}

  void on_layer(const layer_trace& t) override;

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
class hidden_states final : public layer_observer {
 public:
  enum class point { attention_input, residual };

  /// `layers`: which to keep; each costs tokens * hidden floats.
  hidden_states(const model_config& config, std::span<const std::size_t> layers,
                point where = point::attention_input);

  void on_layer(const layer_trace& t) override;

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

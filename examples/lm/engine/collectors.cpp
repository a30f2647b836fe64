#include "engine/collectors.hpp"

#include <algorithm>
#include <string>

#include "engine/error.hpp"
#include "engine/matrix.hpp"

namespace rota_lm {

void query_window::on_layer(const layer_trace& t) {
  std::vector<float>& kept = kept_.at(t.layer);
  const std::size_t limit = window_ * width_;
  // The last rows alone: a prefill has thousands.
  std::span<const float> fresh = values(t.q);
  if (fresh.size() > limit) fresh = fresh.last(limit);
  const std::size_t old = std::min(kept.size(), limit - fresh.size());
  kept.erase(kept.begin(), kept.end() - static_cast<std::ptrdiff_t>(old));
  kept.insert(kept.end(), fresh.begin(), fresh.end());
}

hidden_states::hidden_states(const model_config& config, std::span<const std::size_t> layers,
                             point where)
    : where_(where), width_(config.hidden_size), wanted_(config.layers), kept_(config.layers) {
  for (const std::size_t layer : layers) {
    if (layer >= config.layers) fail("hidden_states", "no layer " + std::to_string(layer));
    wanted_[layer] = true;
  }
}

void hidden_states::on_layer(const layer_trace& t) {
  if (!wanted_[t.layer]) return;
  const auto fresh = values(where_ == point::residual ? t.residual : t.attention_input);
  kept_[t.layer].insert(kept_[t.layer].end(), fresh.begin(), fresh.end());
}

}  // namespace rota_lm

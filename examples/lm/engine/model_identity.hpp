// Which model something was made for.
#pragma once

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

#include "engine/model.hpp"

namespace rota_lm {

/// 16 hexadecimal digits that tell models apart: FNV-1a (64 bit) over the shape, every norm's gain
/// and a sample of the embedding. Not a checksum of all weights, which would take seconds to read.
inline std::string model_identity(const model& lm) {
  std::uint64_t hash = 14695981039346656037u;
  const auto mix = [&](std::span<const std::byte> bytes) {
    for (const std::byte b : bytes) {
      hash = (hash ^ static_cast<std::uint64_t>(b)) * 1099511628211u;
    }
  };
  const auto mix_row = [&](const auto& row) {
    mix(std::as_bytes(std::span(row.data(), static_cast<std::size_t>(row.size()))));
  };
  const model_config& c = lm.config();
  const std::uint64_t shape[] = {c.vocab_size, c.hidden_size, c.layers,
                                 c.q_heads,    c.kv_heads,    c.head_dim};
  mix(std::as_bytes(std::span(shape)));
  for (const layer_weights& w : lm.weights().layers) {
    mix_row(w.attention_norm);
    mix_row(w.mlp_norm);
  }
  mix_row(lm.weights().final_norm);
  const matrix& embedding = lm.weights().embedding;
  const Eigen::Index step = embedding.rows() / 64 + 1;
  for (Eigen::Index i = 0; i < embedding.rows(); i += step) mix_row(embedding.row(i));
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

}  // namespace rota_lm

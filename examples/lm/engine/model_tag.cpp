#include "engine/model_tag.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdio>

#include <rota/core/fingerprint.hpp>

#include "engine/model.hpp"

namespace rota_lm {

namespace {

/// Shape and up to 64 values, spread evenly: reading all weights would take longer than the prompt,
/// and no training leaves so many of them alone.
void add_sample(rota::fingerprint& f, const float* data, Eigen::Index size) {
  constexpr Eigen::Index samples = 64;
  f.add(size);
  const Eigen::Index n = std::min(size, samples);
  for (Eigen::Index i = 0; i < n; ++i) f.add(data[i * (size / n)]);
}

void add_linear(rota::fingerprint& f, const linear& layer) {
  f.add(layer.weight.rows());
  add_sample(f, layer.weight.data(), layer.weight.size());
  add_sample(f, layer.bias.data(), layer.bias.size());
}

void add_rope(rota::fingerprint& f, const rope_config& r) {
  f.add(static_cast<int>(r.kind)).add(r.theta).add(r.factor).add(r.original_positions);
  f.add(r.low_freq_factor).add(r.high_freq_factor).add(r.beta_fast).add(r.beta_slow);
  f.add(r.truncate).add(r.attention_factor);
}

}  // namespace

std::uint64_t model_tag(const model& lm) {
  const model_config& c = lm.config();
  rota::fingerprint f;
  f.add("model").add(static_cast<int>(c.arch)).add(c.vocab_size).add(c.hidden_size);
  f.add(c.layers).add(c.q_heads).add(c.kv_heads).add(c.head_dim).add(c.norm_eps);
  for (const std::size_t window : c.sliding_window) f.add(window);
  add_rope(f, c.rope);
  const model_weights& w = lm.weights();
  add_sample(f, w.embedding.data(), w.embedding.size());
  for (const layer_weights& l : w.layers) {
    for (const row_vector* gain : {&l.attention_norm, &l.q_norm, &l.k_norm, &l.mlp_norm}) {
      add_sample(f, gain->data(), gain->size());
    }
    for (const linear* part : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) {
      add_linear(f, *part);
    }
  }
  add_sample(f, w.final_norm.data(), w.final_norm.size());
  add_linear(f, w.head);
  if (lm.adapters() != nullptr) lm.adapters()->describe(f);
  return f.value();
}

std::string hexadecimal(std::uint64_t x) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(x));
  return text;
}

std::string model_identity(const model& lm) {
  return hexadecimal(model_tag(lm));
}

}  // namespace rota_lm

#include "engine/rope.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace rota_lm {

namespace {

/// Longer waves than the original context are slowed by the factor, short ones left alone, and
/// between the two is a linear blend in the number of turns.
float llama3_frequency(float frequency, const rope_config& c) {
  const double wave = 2.0 * std::numbers::pi / static_cast<double>(frequency);
  if (wave < c.original_positions / c.high_freq_factor) return frequency;
  if (wave > c.original_positions / c.low_freq_factor) {
    return frequency / static_cast<float>(c.factor);
  }
  const double blend =
      (c.original_positions / wave - c.low_freq_factor) / (c.high_freq_factor - c.low_freq_factor);
  const double f = frequency;
  return static_cast<float>((1.0 - blend) * f / c.factor + blend * f);
}

/// The rotary pair (as a real number) that makes `turns` turns over the original context.
double yarn_pair_of_turns(double turns, std::size_t head_dim, const rope_config& c) {
  return static_cast<double>(head_dim) *
         std::log(c.original_positions / (turns * 2.0 * std::numbers::pi)) /
         (2.0 * std::log(c.theta));
}

/// Yarn: pairs below `low` keep their frequency, above `high` are slowed by the factor.
void yarn_frequencies(std::span<float> frequencies, std::size_t head_dim, const rope_config& c) {
  double low = yarn_pair_of_turns(c.beta_fast, head_dim, c);
  double high = yarn_pair_of_turns(c.beta_slow, head_dim, c);
  if (c.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(head_dim) - 1.0);
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double slowed = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    const double f = frequencies[i];
    frequencies[i] = static_cast<float>(f / c.factor * slowed + f * (1.0 - slowed));
  }
}

void rotate_head(const float* cosine, const float* sine, std::size_t pairs, float* low) {
  float* high = low + pairs;
  for (std::size_t i = 0; i < pairs; ++i) {
    const float a = low[i];
    const float b = high[i];
    low[i] = a * cosine[i] - b * sine[i];
    high[i] = b * cosine[i] + a * sine[i];
  }
}

}  // namespace

rope::rope(const rope_config& config, std::size_t head_dim)
    : frequencies_(head_dim / 2), amplitude_(static_cast<float>(config.attention_factor)) {
  // In float, as the reference computes them: at position 10^5 a difference in the last place
  // of a frequency is already 1% of a turn.
  for (std::size_t i = 0; i < frequencies_.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    frequencies_[i] = 1.0f / std::pow(static_cast<float>(config.theta), exponent);
  }
  if (config.kind == rope_kind::linear) {
    for (float& f : frequencies_) f /= static_cast<float>(config.factor);
  } else if (config.kind == rope_kind::llama3) {
    for (float& f : frequencies_) f = llama3_frequency(f, config);
  } else if (config.kind == rope_kind::yarn) {
    yarn_frequencies(frequencies_, head_dim, config);
  }
}

rope::table rope::angles(std::size_t first, std::size_t tokens) const {
  const std::size_t pairs = frequencies_.size();
  table t{std::vector<float>(tokens * pairs), std::vector<float>(tokens * pairs)};
  for (std::size_t i = 0; i < tokens * pairs; ++i) {
    const std::size_t position = first + i / pairs;
    const float angle = static_cast<float>(position) * frequencies_[i % pairs];
    t.cosine[i] = std::cos(angle) * amplitude_;
    t.sine[i] = std::sin(angle) * amplitude_;
  }
  return t;
}

void rope::rotate(const table& t, std::size_t heads, std::span<float> x) const {
  const std::size_t pairs = frequencies_.size();
  const std::size_t tokens = t.cosine.size() / pairs;
  for (std::size_t token = 0; token < tokens; ++token) {
    const float* cosine = t.cosine.data() + token * pairs;
    const float* sine = t.sine.data() + token * pairs;
    for (std::size_t head = 0; head < heads; ++head) {
      float* low = x.data() + (token * heads + head) * 2 * pairs;
      rotate_head(cosine, sine, pairs, low);
    }
  }
}

}  // namespace rota_lm

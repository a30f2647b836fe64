// How the next token is drawn from logits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/config.hpp"
#include "engine/error.hpp"

namespace rota_lm {

/// Temperature 0 is greedy. top_k 0 and top_p 1 leave all tokens in.
struct sampling {
  double temperature = 0.0;
  std::size_t top_k = 0;
  double top_p = 1.0;
  std::uint64_t seed = 0;
};

/// The token of the largest logit, the smaller id where two are equal. Throws when `logits` is
/// empty or holds a NaN.
inline token_id greedy(std::span<const float> logits) {
  if (logits.empty()) fail("sampler", "no logits");
  std::size_t best = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i])) fail("sampler", "logit " + std::to_string(i) + " is not a number");
    if (logits[i] > logits[best]) best = i;
  }
  return static_cast<token_id>(best);
}

/// Draws tokens; the same seed and logits give the same tokens on every machine that rounds exp()
/// alike.
class sampler {
 public:
  /// Throws on a temperature below 0 or not finite, or top_p outside (0, 1].
  explicit sampler(const sampling& how) : how_(how), state_(how.seed) {
    if (!(how.temperature >= 0 && std::isfinite(how.temperature))) {
      fail("sampler", "temperature must be finite and not below 0");
    }
    if (!(how.top_p > 0 && how.top_p <= 1)) fail("sampler", "top_p must be in (0, 1]");
  }

  /// Throws as greedy() does.
  token_id operator()(std::span<const float> logits) {
    const token_id best = greedy(logits);
    if (how_.temperature == 0) return best;
    const std::vector<candidate> kept = candidates(logits, logits[static_cast<std::size_t>(best)]);
    double total = 0;
    for (const candidate& c : kept) total += c.weight;
    double mark = uniform() * total;
    for (const candidate& c : kept) {
      mark -= c.weight;
      if (mark < 0) return c.id;
    }
    return kept.back().id;  // rounding only
  }

 private:
  struct candidate {
    token_id id;
    double weight;
  };

  /// The tokens that top_k and top_p leave, most likely first. Weights are relative to the largest.
  std::vector<candidate> candidates(std::span<const float> logits, float top) const {
    std::vector<candidate> all;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      // Compared first: infinity less infinity is no number.
      const double gap = logits[i] == top ? 0.0 : static_cast<double>(logits[i]) - top;
      all.push_back({static_cast<token_id>(i), std::exp(gap / how_.temperature)});
    }
    std::ranges::stable_sort(
        all, [](const candidate& a, const candidate& b) { return a.weight > b.weight; });
    if (how_.top_k != 0 && how_.top_k < all.size()) all.resize(how_.top_k);
    double total = 0;
    for (const candidate& c : all) total += c.weight;
    double seen = 0;
    std::size_t count = 0;
    while (count < all.size() && seen < how_.top_p * total) seen += all[count++].weight;
    all.resize(std::max<std::size_t>(count, 1));
    return all;
  }

  /// In [0, 1): splitmix64, since the standard library's distributions differ between vendors.
  double uniform() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return static_cast<double>((z ^ z >> 31) >> 11) * 0x1p-53;
  }

  sampling how_;
  std::uint64_t state_;
};

}  // namespace rota_lm

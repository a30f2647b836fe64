// How the next token is drawn from logits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/config.hpp"

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
token_id greedy(std::span<const float> logits);

/// Draws tokens; the same seed and logits give the same tokens on every machine that rounds exp()
/// alike.
class sampler {
 public:
  /// Throws on a temperature below 0 or not finite, or top_p outside (0, 1].
  explicit sampler(const sampling& how);

  /// Throws as greedy() does.
  token_id operator()(std::span<const float> logits);

 private:
  struct candidate {
    token_id id;
    double weight;
  };

  /// The tokens that top_k and top_p leave, most likely first. Weights are relative to the largest.
  std::vector<candidate> candidates(std::span<const float> logits, float top) const;
  /// In [0, 1): splitmix64, since the standard library's distributions differ between vendors.
  double uniform();

  sampling how_;
  std::uint64_t state_;
};

}  // namespace rota_lm

// Rotary position embedding: frequencies for each scaling, and the rotation itself.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "engine/rope_config.hpp"

namespace rota_lm {

/// The rotary embedding of one model. Pair i of a head is (x[i], x[i + head_dim / 2]).
class rope {
 public:
  rope(const rope_config& config, std::size_t head_dim);

  /// Radians per position, one for each of the head_dim / 2 pairs.
  std::span<const float> frequencies() const { return frequencies_; }
  /// What every cosine and sine is multiplied with (1 but for yarn).
  float amplitude() const { return amplitude_; }

  /// Cosines and sines of positions first .. first + tokens - 1, each [tokens, head_dim / 2].
  struct table {
    std::vector<float> cosine;
    std::vector<float> sine;
  };
  table angles(std::size_t first, std::size_t tokens) const;

  /// Rotates x [tokens, heads, head_dim] in place, token i by row i of the table.
  void rotate(const table& t, std::size_t heads, std::span<float> x) const;

 private:
  std::vector<float> frequencies_;
  float amplitude_;
};

}  // namespace rota_lm

#pragma once

#include <cmath>
#include <span>

namespace rota::train {

/// RMSNorm of one row (Zhang & Sennrich 2019, arXiv 1910.07467): y = gain x / sqrt(mean(x^2) +
/// eps). Returns what x was multiplied by, gain aside; the way back asks for it. All spans are as
/// long.
template <class T>
T rms_norm(std::span<const T> x, std::span<const T> gain, T eps, std::span<T> y) {
  T squares = 0;
  for (const T v : x) squares += v * v;
  const T inverse = 1 / std::sqrt(squares / static_cast<T>(x.size()) + eps);
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = gain[i] * x[i] * inverse;
  return inverse;
}

/// Adds to dx the loss's derivative by x, given that by y. The gain is frozen.
template <class T>
void rms_norm_backward(std::span<const T> x, std::span<const T> gain, T inverse,
                       std::span<const T> dy, std::span<T> dx) {
  T along = 0;
  for (std::size_t i = 0; i < x.size(); ++i) along += gain[i] * dy[i] * x[i];
  along *= inverse * inverse / static_cast<T>(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) dx[i] += inverse * (gain[i] * dy[i] - along * x[i]);
}

}  // namespace rota::train

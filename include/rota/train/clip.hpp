#pragma once

#include <cmath>
#include <span>

namespace rota::train {

/// Scales a gradient down to the norm `most` when its Euclidean norm is larger. Returns the norm it
/// had, in double; where that is not finite the gradient is left alone.
template <class T>
double clip_norm(std::span<T> gradient, double most) {
  double squares = 0;
  for (const T g : gradient) squares += static_cast<double>(g) * static_cast<double>(g);
  const double norm = std::sqrt(squares);
  if (std::isfinite(norm) && norm > most)
    for (T& g : gradient) g *= static_cast<T>(most / norm);
  return norm;
}

}  // namespace rota::train

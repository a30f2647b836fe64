#pragma once

#include <span>

namespace rota::train {

/// Rotary embedding of one head of one token, in place: pair i is (x[i], x[i + d / 2]). `cosine`
/// and `sine` [d / 2] are of the token's position, times the amplitude if there is one.
template <class T>
void rope(std::span<const T> cosine, std::span<const T> sine, std::span<T> x) {
  const std::size_t half = cosine.size();
  for (std::size_t i = 0; i < half; ++i) {
    const T a = x[i], b = x[i + half];
    x[i] = a * cosine[i] - b * sine[i];
    x[i + half] = b * cosine[i] + a * sine[i];
  }
}

/// From the derivative by the rotated head to that by the head itself, in place.
template <class T>
void rope_backward(std::span<const T> cosine, std::span<const T> sine, std::span<T> d) {
  const std::size_t half = cosine.size();
  for (std::size_t i = 0; i < half; ++i) {
    const T a = d[i], b = d[i + half];
    d[i] = a * cosine[i] + b * sine[i];
    d[i + half] = b * cosine[i] - a * sine[i];
  }
}

}  // namespace rota::train

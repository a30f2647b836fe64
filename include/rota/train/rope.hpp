#pragma once

#include <span>

#include <rota/core/rope_pairing.hpp>

namespace rota::train {

namespace detail {

/// Turns each pair of x forward, or back.
template <class T>
void turn_pairs(std::span<const T> cosine, std::span<const T> sine, std::span<T> x,
                rope_pairing pairing, T direction) {
  const auto pairs = static_cast<index_t>(cosine.size());
  for (index_t i = 0; i < pairs; ++i) {
    const rope_channels at(pairing, i, pairs);
    const auto pair = static_cast<std::size_t>(i), low = static_cast<std::size_t>(at.low),
               high = static_cast<std::size_t>(at.high);
    const T a = x[low], b = x[high], s = direction * sine[pair];
    x[low] = a * cosine[pair] - b * s;
    x[high] = b * cosine[pair] + a * s;
  }
}

}  // namespace detail

/// Rotary embedding of one head of one token, in place. `cosine` and `sine` [pairs] are of the
/// token's position, times the amplitude if there is one; channels from 2 pairs on stay.
template <class T>
void rope(std::span<const T> cosine, std::span<const T> sine, std::span<T> x,
          rope_pairing pairing = rope_pairing::halves) {
  detail::turn_pairs(cosine, sine, x, pairing, T{1});
}

/// From the derivative by the rotated head to that by the head itself, in place.
template <class T>
void rope_backward(std::span<const T> cosine, std::span<const T> sine, std::span<T> d,
                   rope_pairing pairing = rope_pairing::halves) {
  detail::turn_pairs(cosine, sine, d, pairing, T{-1});
}

}  // namespace rota::train

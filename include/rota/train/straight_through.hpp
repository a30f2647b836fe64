#pragma once

#include <cmath>
#include <limits>
#include <span>

namespace rota::train {

/// A router's hard choice and the slope that stands in for its derivative (straight-through
/// estimator, Bengio, Leonard & Courville 2013, arXiv 1308.3432): on the way forward a group is
/// kept or not; on the way back the choice counts as sigmoid((logit - threshold) / temperature).
template <class T>
struct straight_through {
  T temperature = 1;

  T slope(T logit, T threshold) const {
    const T s = 1 / (1 + std::exp((threshold - logit) / temperature));
    return s * (1 - s) / temperature;
  }

  /// Keeps every logit that reaches the threshold (adaptive span). The spans are as long.
  void keep_above(std::span<const T> logits, T threshold, std::span<T> kept,
                  std::span<T> slopes) const {
    for (std::size_t i = 0; i < logits.size(); ++i) {
      kept[i] = logits[i] >= threshold ? 1 : 0;
      slopes[i] = slope(logits[i], threshold);
    }
  }

  /// Keeps the `count` largest, of equal ones the first (fixed_k). The threshold lies half way to
  /// the largest that is dropped; with none dropped or none kept the slopes are 0.
  void keep_largest(std::span<const T> logits, std::size_t count, std::span<T> kept,
                    std::span<T> slopes) const {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    T least_kept = infinity, most_dropped = -infinity;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      std::size_t before = 0;
      for (std::size_t j = 0; j < logits.size(); ++j)
        before += logits[j] > logits[i] || (logits[j] == logits[i] && j < i) ? 1 : 0;
      kept[i] = before < count ? 1 : 0;
      if (before < count)
        least_kept = std::fmin(least_kept, logits[i]);
      else
        most_dropped = std::fmax(most_dropped, logits[i]);
    }
    const T threshold = (least_kept + most_dropped) / 2;
    for (std::size_t i = 0; i < logits.size(); ++i)
      slopes[i] = std::isfinite(threshold) ? slope(logits[i], threshold) : 0;
  }

  /// Softmax mass of the logits larger than each one, of equal ones of the first: 0 for the
  /// largest.
  void masses_before(std::span<const T> logits, std::span<T> before) const {
    T most = logits[0], total = 0;
    for (const T z : logits) most = std::fmax(most, z);
    for (const T z : logits) total += std::exp(z - most);
    for (std::size_t i = 0; i < logits.size(); ++i) {
      T sum = 0;
      for (std::size_t j = 0; j < logits.size(); ++j)
        if (logits[j] > logits[i] || (logits[j] == logits[i] && j < i))
          sum += std::exp(logits[j] - most);
      before[i] = sum / total;
    }
  }

  /// Keeps those whose mass before is at most `mass` (entropy_span): the fewest of the largest that
  /// reach it. Slopes as of keep_largest().
  void keep_mass(std::span<const T> logits, T mass, std::span<T> kept, std::span<T> slopes) const {
    masses_before(logits, kept);
    std::size_t count = 0;
    for (const T before : kept) count += before <= mass ? 1 : 0;
    keep_largest(logits, count, kept, slopes);
  }
};

}  // namespace rota::train

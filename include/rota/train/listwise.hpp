#pragma once

#include <cmath>
#include <limits>
#include <span>

namespace rota::train {

/// Listwise cross-entropy (ListNet's top-one form, Cao et al. 2007): how far the softmax of
/// `logits` is from the shares of `target`,
///   loss = log sum_i exp(y_i) - sum_i t_i y_i,   gradient_i = softmax(y)_i - t_i,
/// t = target / sum of target. `gradient` may be empty; else it is written, as long as the others.
/// Targets are not negative. A list whose targets are all 0 says nothing: loss and gradient are 0.
template <class T>
double listwise_cross_entropy(std::span<const T> logits, std::span<const float> target,
                              std::span<T> gradient) {
  double mass = 0, top = -std::numeric_limits<double>::infinity(), sum = 0, wanted = 0;
  for (const float t : target) mass += static_cast<double>(t);
  if (mass == 0) {
    for (T& g : gradient) g = 0;
    return 0;
  }
  for (const T y : logits) top = std::fmax(top, static_cast<double>(y));
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double y = static_cast<double>(logits[i]);
    sum += std::exp(y - top);
    wanted += static_cast<double>(target[i]) / mass * y;
  }
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    const double p = std::exp(static_cast<double>(logits[i]) - top) / sum;
    gradient[i] = static_cast<T>(p - static_cast<double>(target[i]) / mass);
  }
  return top + std::log(sum) - wanted;
}

}  // namespace rota::train

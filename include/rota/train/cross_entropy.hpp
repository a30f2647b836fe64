#pragma once

#include <cmath>
#include <span>

namespace rota::train {

/// Cross-entropy of one row of logits: log sum_i exp(z_i) - z_target, in nats. `gradient` is empty
/// or as long as the row, and receives weight times the derivative; it may be the row itself.
template <class T>
double cross_entropy(std::span<const T> logits, std::size_t target, double weight,
                     std::span<T> gradient) {
  T top = logits[0];
  for (const T z : logits) top = z > top ? z : top;
  double sum = 0;
  for (const T z : logits) sum += static_cast<double>(std::exp(z - top));
  const double loss = static_cast<double>(top - logits[target]) + std::log(sum);
  if (gradient.empty()) return loss;
  const T share = static_cast<T>(weight / sum);
  for (std::size_t i = 0; i < logits.size(); ++i) gradient[i] = share * std::exp(logits[i] - top);
  gradient[target] -= static_cast<T>(weight);
  return loss;
}

}  // namespace rota::train

#pragma once

#include <cmath>
#include <span>

#include <rota/core/view.hpp>

namespace rota::train {

/// AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101): Adam with weight decay that does not pass
/// through the moments.
struct adamw {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;
};

/// One update of `weights` in place. `step` counts from 1; the moments start as zeros. All spans
/// have the same length.
template <class T>
void adamw_step(const adamw& o, index_t step, std::span<const T> gradient, std::span<T> first,
                std::span<T> second, std::span<T> weights) {
  const double correct1 = 1 - std::pow(o.beta1, static_cast<double>(step));
  const double correct2 = 1 - std::pow(o.beta2, static_cast<double>(step));
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double g = static_cast<double>(gradient[i]), w = static_cast<double>(weights[i]);
    const double m = o.beta1 * static_cast<double>(first[i]) + (1 - o.beta1) * g;
    const double v = o.beta2 * static_cast<double>(second[i]) + (1 - o.beta2) * g * g;
    first[i] = static_cast<T>(m);
    second[i] = static_cast<T>(v);
    const double update = m / correct1 / (std::sqrt(v / correct2) + o.epsilon);
    weights[i] = static_cast<T>(w - o.learning_rate * (update + o.weight_decay * w));
  }
}

}  // namespace rota::train

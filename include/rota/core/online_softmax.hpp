#pragma once

#include <cmath>
#include <limits>

#include <rota/core/config.hpp>

namespace rota {

/// Running maximum and sum of exponentials of a softmax row (Milakov, Gimelshein 2018).
template <class T>
struct softmax_state {
  T max = -std::numeric_limits<T>::infinity();
  T sum = 0;

  /// Natural log of the sum of exp(logit); -inf for an empty row.
  T log_sum_exp() const {
    return sum > T(0) ? max + std::log(sum) : -std::numeric_limits<T>::infinity();
  }
};

/// Weights of two partial attention results with log-sum-exps a and b: their merged output is
/// wa * out_a + wb * out_b and its log-sum-exp is `lse`. Both may be empty (-inf);
/// a NaN makes all NaN.
template <class T>
struct merge_weights {
  T a = 0;
  T b = 0;
  T lse = -std::numeric_limits<T>::infinity();
};

template <class T>
merge_weights<T> merge_log_sum_exp(T a, T b) {
  constexpr T nothing = -std::numeric_limits<T>::infinity();
  if (a == nothing && b == nothing) return {};
  const T top = a > b ? a : b;
  const T ea = std::exp(a - top);
  const T eb = std::exp(b - top);
  return {ea / (ea + eb), eb / (ea + eb), top + std::log(ea + eb)};
}

}  // namespace rota

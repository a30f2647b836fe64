#pragma once

#include <cmath>

#include <rota/core/score_key.hpp>

// Which subspaces of an adapter a token uses, and how much of each.

namespace rota {

/// Gates of the chosen subspaces: g = K * softmax over the chosen logits. Uniform logits give 1.
struct softmax_gate {
  static constexpr const char* name = "softmax";
  template <class T>
  ROTA_HD static void gates(const T* chosen, int count, T* out) {
    T top = chosen[0];
    for (int i = 1; i < count; ++i) top = chosen[i] > top ? chosen[i] : top;
    T sum = 0;
    for (int i = 0; i < count; ++i) sum += out[i] = std::exp(chosen[i] - top);
    for (int i = 0; i < count; ++i) out[i] *= static_cast<T>(count) / sum;
  }
};

/// g = 2 / (1 + exp(-z)), each subspace by itself. Logits of zero give 1.
struct sigmoid_gate {
  static constexpr const char* name = "sigmoid";
  template <class T>
  ROTA_HD static void gates(const T* chosen, int count, T* out) {
    for (int i = 0; i < count; ++i) out[i] = 2 / (1 + std::exp(-chosen[i]));
  }
};

/// The indices of the `count` largest of `n` logits in ascending order; ties go to the smaller
/// index, NaN counts below all numbers. count <= n.
inline void choose_largest(const float* logits, int n, int count, int* out) {
  for (int i = 0; i < n; ++i) {
    const std::uint32_t key = score_key(logits[i]);
    int before = 0;
    for (int j = 0; j < n; ++j) {
      const std::uint32_t other = score_key(logits[j]);
      before += other > key || (other == key && j < i) ? 1 : 0;
    }
    if (before < count) *out++ = i;
  }
}

}  // namespace rota

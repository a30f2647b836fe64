// What one forward pass through a layer leaves for the way back.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <vector>

#include <rota/cpu/train/attention.hpp>
#include <rota/cpu/train/lora.hpp>
#include <rota/cpu/train/value_fill.hpp>

#include "adapt/value_routing.hpp"
#include "engine/target.hpp"

namespace rota_lm {

/// Cosines and sines of the rotary angles, [tokens, head_dim / 2].
template <class T>
struct rotary_angles {
  using rotation = void (*)(std::span<const T> cosine, std::span<const T> sine, std::span<T> head);

  std::vector<T> cosine, sine;

  /// Calls `one` for each head of each row of heads [tokens, heads * head_dim].
  void rotate(rota::cpu::train_matrix<T>& heads, std::size_t head_dim, rotation one) const;
};

/// RMSNorm of runs as wide as its gain, several to a row for a norm of heads.
template <class T>
struct norm_pass {
  rota::cpu::train_matrix<T> x;
  std::vector<T> inverse;

  /// Keeps what the way back needs of x; returns x normed.
  rota::cpu::train_matrix<T> forward(const rota::cpu::train_matrix<T>& from,
                                     const std::vector<T>& gain, double eps);
  /// Adds to dx.
  void backward(const std::vector<T>& gain, const rota::cpu::train_matrix<T>& dy,
                rota::cpu::train_matrix<T>& dx) const;
};

template <class T>
struct layer_pass {
  using matrix = rota::cpu::train_matrix<T>;

  norm_pass<T> attention_norm, mlp_norm, q_norm, k_norm;
  matrix input, mlp_input;  ///< normed
  matrix q, k, v, mixed, gate, up, activated;
  matrix prefix_input, prefix_v, logits, stored;
  value_mask<T> mask;
  typename rota::cpu::train_fill<T>::pass fill;
  typename rota::cpu::train_attention<T>::pass attention;
  std::map<target, typename rota::cpu::lora_layer<T>::pass> adapters;
};

extern template struct rotary_angles<float>;
extern template struct rotary_angles<double>;
extern template struct norm_pass<float>;
extern template struct norm_pass<double>;

}  // namespace rota_lm

// The base model's weights as the training pass reads them: those of the engine, or copies of them
// in double.
#pragma once

#include <type_traits>
#include <vector>

#include <rota/cpu/train/matrix.hpp>

#include "engine/weights.hpp"

namespace rota_lm {

template <class T>
class frozen_matrix {
 public:
  using plain = rota::cpu::train_matrix<T>;

  frozen_matrix() = default;
  explicit frozen_matrix(const matrix& from) : from_(&from) {
    if constexpr (!std::is_same_v<T, float>) copy_ = from.template cast<T>();
  }

  auto get() const {
    if constexpr (std::is_same_v<T, float>)
      return Eigen::Map<const plain>(from_->data(), from_->rows(), from_->cols());
    else
      return Eigen::Map<const plain>(copy_.data(), copy_.rows(), copy_.cols());
  }

 private:
  const matrix* from_ = nullptr;
  plain copy_;
};

template <class T>
std::vector<T> frozen_row(const row_vector& from) {
  return {from.data(), from.data() + from.size()};
}

template <class T>
struct frozen_linear {
  frozen_matrix<T> weight;
  Eigen::Matrix<T, 1, Eigen::Dynamic> bias;  ///< empty: none

  explicit frozen_linear(const linear& from)
      : weight(from.weight), bias(from.bias.template cast<T>()) {}
};

template <class T>
struct frozen_layer {
  std::vector<T> attention_norm, q_norm, k_norm, mlp_norm;
  std::vector<frozen_linear<T>> projections;  ///< by target

  explicit frozen_layer(const layer_weights& w)
      : attention_norm(frozen_row<T>(w.attention_norm)),
        q_norm(frozen_row<T>(w.q_norm)),
        k_norm(frozen_row<T>(w.k_norm)),
        mlp_norm(frozen_row<T>(w.mlp_norm)) {
    for (const linear* p : {&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down})
      projections.emplace_back(*p);
  }
};

/// Refers to the weights, which must outlive it.
template <class T>
struct frozen_weights {
  frozen_matrix<T> embedding, head;
  std::vector<T> final_norm;
  std::vector<frozen_layer<T>> layers;

  explicit frozen_weights(const model_weights& w)
      : embedding(w.embedding), head(w.output()), final_norm(frozen_row<T>(w.final_norm)) {
    for (const layer_weights& l : w.layers) layers.emplace_back(l);
  }
};

}  // namespace rota_lm

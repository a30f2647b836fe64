// The base model's weights as the training pass reads them: those of the engine, or copies of them
// in double.
#pragma once

#include <type_traits>
#include <vector>

#include <rota/cpu/train/matrix.hpp>

#include "engine/weights.hpp"

namespace rota_lm {

/// A matrix of the engine, which must outlive it; in double: a copy.
template <class T>
class frozen_matrix {
 public:
  using plain = rota::cpu::train_matrix<T>;

  frozen_matrix() = default;
  explicit frozen_matrix(const matrix& from);

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
struct frozen_linear {
  frozen_matrix<T> weight;
  Eigen::Matrix<T, 1, Eigen::Dynamic> bias;  ///< empty: none

  explicit frozen_linear(const linear& from);
};

template <class T>
struct frozen_layer {
  std::vector<T> attention_norm, q_norm, k_norm, mlp_norm;
  std::vector<frozen_linear<T>> projections;  ///< by target

  explicit frozen_layer(const layer_weights& w);
};

/// Refers to the weights, which must outlive it.
template <class T>
struct frozen_weights {
  frozen_matrix<T> embedding, head;
  std::vector<T> final_norm;
  std::vector<frozen_layer<T>> layers;

  explicit frozen_weights(const model_weights& w);
};

extern template class frozen_matrix<float>;
extern template class frozen_matrix<double>;
extern template struct frozen_linear<float>;
extern template struct frozen_linear<double>;
extern template struct frozen_layer<float>;
extern template struct frozen_layer<double>;
extern template struct frozen_weights<float>;
extern template struct frozen_weights<double>;

}  // namespace rota_lm

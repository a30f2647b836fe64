#pragma once

#include <type_traits>

#include <rota/core/view.hpp>
#include <rota/cpu/eigen.hpp>

namespace rota::cpu {

/// Activations under training: a row is a token. T is float to train, double to check.
template <class T>
using train_matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// The same numbers to Eigen; rows must be packed.
template <class T>
auto as_matrix(const view<T, 2>& v) {
  using plain = train_matrix<std::remove_const_t<T>>;
  return Eigen::Map<std::conditional_t<std::is_const_v<T>, const plain, plain>>(v.data, v.extent[0],
                                                                                v.extent[1]);
}

template <class T>
auto as_row(const view<T, 1>& v) {
  using plain = Eigen::Matrix<std::remove_const_t<T>, 1, Eigen::Dynamic>;
  return Eigen::Map<std::conditional_t<std::is_const_v<T>, const plain, plain>>(v.data,
                                                                                v.extent[0]);
}

}  // namespace rota::cpu

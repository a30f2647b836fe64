// The one matrix type of the engine and the few dense operations that the forward pass needs.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>

#include <rota/cpu/eigen.hpp>

namespace rota_lm {

/// Row-major: a row is a token (activations) or an output channel (weights).
using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using row_vector = Eigen::Matrix<float, 1, Eigen::Dynamic>;

/// x [n, in] * weight [out, in]' -> [n, out].
inline matrix project(const matrix& x, const matrix& weight) {
  matrix y(x.rows(), weight.rows());
  if (x.rows() == 1) {  // Eigen's matrix-vector kernel; its GEMM packs the whole weight first
    y.row(0).transpose().noalias() = weight * x.row(0).transpose();
  } else {
    y.noalias() = x * weight.transpose();
  }
  return y;
}

/// A linear layer: weight [out, in], bias [out] or empty.
struct linear {
  matrix weight;
  row_vector bias;

  /// x [n, in] -> [n, out].
  matrix operator()(const matrix& x) const {
    matrix y = project(x, weight);
    if (bias.size() != 0) y.rowwise() += bias;
    return y;
  }
};

/// Scales each run of gain.size() values in `x` to a root mean square of 1, times gain.
inline void rms_norm_inplace(std::span<float> x, const row_vector& gain, float eps) {
  const Eigen::Index width = gain.size();
  for (std::size_t at = 0; at < x.size(); at += static_cast<std::size_t>(width)) {
    Eigen::Map<row_vector> run(x.data() + at, width);
    const float mean_square = run.squaredNorm() / static_cast<float>(width);
    run.array() *= gain.array() * (1.0f / std::sqrt(mean_square + eps));
  }
}

/// The values of a matrix, rows after rows.
inline std::span<float> values(matrix& m) {
  return {m.data(), static_cast<std::size_t>(m.size())};
}
inline std::span<const float> values(const matrix& m) {
  return {m.data(), static_cast<std::size_t>(m.size())};
}

/// gate <- silu(gate) * up, the gated activation of the four architectures.
inline void silu_gate_inplace(matrix& gate, const matrix& up) {
  gate.array() *= up.array() / (1.0f + (-gate.array()).exp());
}

}  // namespace rota_lm

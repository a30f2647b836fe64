#pragma once

#include <cstdint>

#include <rota/basis/fold.hpp>
#include <rota/cpu/eigen.hpp>

// Bases that are computed, by Eigen. Done once for a model: they allocate, and say so.

namespace rota::cpu {

/// Writes a random orthogonal matrix, uniform but for rounding, into each [d, d] of `basis`
/// [kv_heads, d, d]: the Q of a Gaussian matrix's QR, with the signs of R's diagonal. The same seed
/// gives the same basis. Allocates.
inline status random_basis(std::uint64_t seed, view<float, 3> basis) {
  if (status s = check_output(basis, "basis"); !s) return s;
  const index_t d = basis.extent[1];
  if (d < 1 || basis.extent[2] != d) return {errc::bad_shape, "basis"};
  const auto uniform = [&seed] {  // splitmix64, in (0, 1]
    std::uint64_t z = (seed += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<double>(((z ^ (z >> 31)) >> 11) + 1) * 0x1p-53;
  };
  for (index_t h = 0; h < basis.extent[0]; ++h) {
    Eigen::MatrixXd m(d, d);
    for (index_t i = 0; i < m.size(); ++i) {
      const double radius = std::sqrt(-2 * std::log(uniform()));
      m.data()[i] = radius * std::cos(6.283185307179586 * uniform());
    }
    const Eigen::HouseholderQR<Eigen::MatrixXd> qr(m);
    const Eigen::MatrixXd q = qr.householderQ();
    for (index_t i = 0; i < d; ++i)
      for (index_t j = 0; j < d; ++j)
        basis(h, i, j) = static_cast<float>(qr.matrixQR()(j, j) < 0 ? -q(i, j) : q(i, j));
  }
  return {};
}

/// Writes the principal directions of some values into `basis` [kv_heads, d, d], those of the
/// largest mean square first: group 0 holds most of a value, the last group least. `moments`
/// [kv_heads, d, d]: sums or means of v v'. bad_shape ("moments"), bad_parameter ("moments") where
/// they are not finite. Allocates.
inline status pca_basis(view<const double, 3> moments, view<float, 3> basis) {
  if (status s = check_output(basis, "basis"); !s) return s;
  if (status s = check_view(moments, "moments"); !s) return s;
  const index_t d = basis.extent[1];
  if (d < 1 || basis.extent[2] != d) return {errc::bad_shape, "basis"};
  if (moments.extent != basis.extent) return {errc::bad_shape, "moments"};
  for (index_t h = 0; h < basis.extent[0]; ++h) {
    Eigen::MatrixXd m(d, d);
    for (index_t i = 0; i < d; ++i)
      for (index_t j = 0; j < d; ++j) m(i, j) = moments(h, i, j);
    if (!m.allFinite()) return {errc::bad_parameter, "moments"};
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(m);
    for (index_t i = 0; i < d; ++i)
      for (index_t j = 0; j < d; ++j)
        basis(h, i, j) = static_cast<float>(eigen.eigenvectors()(j, d - 1 - i));
  }
  return {};
}

}  // namespace rota::cpu

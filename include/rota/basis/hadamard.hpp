#pragma once

#include <bit>
#include <cmath>

#include <rota/core/view.hpp>

namespace rota {

/// Writes Sylvester's Hadamard matrix over sqrt(d) into each [d, d] of `basis` [kv_heads, d, d]: it
/// spreads every value over all coordinates, and so over all groups. bad_shape ("basis") unless d
/// is a power of two.
inline status hadamard_basis(view<float, 3> basis) {
  if (status s = check_output(basis, "basis"); !s) return s;
  const index_t d = basis.extent[1];
  if (d < 1 || basis.extent[2] != d || !std::has_single_bit(static_cast<std::uint64_t>(d)))
    return {errc::bad_shape, "basis"};
  const float unit = 1 / std::sqrt(static_cast<float>(d));
  for (index_t h = 0; h < basis.extent[0]; ++h)
    for (index_t i = 0; i < d; ++i)
      for (index_t j = 0; j < d; ++j)
        basis(h, i, j) = std::popcount(static_cast<std::uint64_t>(i & j)) % 2 == 0 ? unit : -unit;
  return {};
}

/// Writes the identity, which changes nothing.
inline status identity_basis(view<float, 3> basis) {
  if (status s = check_output(basis, "basis"); !s) return s;
  if (basis.extent[1] != basis.extent[2]) return {errc::bad_shape, "basis"};
  for (index_t h = 0; h < basis.extent[0]; ++h)
    for (index_t i = 0; i < basis.extent[1]; ++i)
      for (index_t j = 0; j < basis.extent[1]; ++j) basis(h, i, j) = i == j ? 1.0f : 0.0f;
  return {};
}

}  // namespace rota

#pragma once

#include <cmath>

#include <rota/core/config.hpp>

namespace rota {

/// Euclidean norm of n floats. Sixteen independent sums, so that compilers use vectors without
/// being allowed to reorder additions.
ROTA_HD inline float row_norm(const float* x, int n) {
  constexpr int lanes = 16;
  float sum[lanes] = {};
  int i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int l = 0; l < lanes; ++l) sum[l] += x[i + l] * x[i + l];
  for (int l = 0; l < lanes; ++l)
    if (i + l < n) sum[l] += x[i + l] * x[i + l];
  for (int half = lanes / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) sum[l] += sum[l + half];
  return std::sqrt(sum[0]);
}

}  // namespace rota

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
  for (int l = 0; l < lanes; ++l)  // so that nvcc keeps the sums in registers
    if (i + l < n) sum[l] += x[i + l] * x[i + l];
  // Written out, for compilers keep what they loop over in memory.
  for (int l = 0; l < 8; ++l) sum[l] += sum[l + 8];
  for (int l = 0; l < 4; ++l) sum[l] += sum[l + 4];
  return std::sqrt((sum[0] + sum[2]) + (sum[1] + sum[3]));
}

}  // namespace rota

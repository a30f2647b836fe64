#pragma once

#include <cmath>

#include <rota/core/rope_pairing.hpp>

namespace rota::cpu::detail {

/// The mean RoPE matrix over a run of positions: for each pair of channels the mean cosine and
/// sine. Not orthogonal: it shrinks what turns fast.
struct rope_mean {
  double* cosine = nullptr;  ///< [pairs]
  double* sine = nullptr;    ///< [pairs]
  index_t pairs = 0;
  rope_pairing pairing = rope_pairing::halves;

  /// Positions first .. first + count - 1, in closed form: the mean of exp(i f p) is
  /// exp(i f (first + (count - 1) / 2)) * sin(count f / 2) / (count sin(f / 2)).
  void fill(const view<const float, 1>& frequencies, index_t first, index_t count,
            float scale) const {
    const auto n = static_cast<double>(count);
    const double middle = static_cast<double>(first) + (n - 1) / 2;
    for (index_t i = 0; i < pairs; ++i) {
      const double f = double{frequencies(i)};
      const double step = std::sin(f / 2);
      const double length = step == 0 ? 1 : std::sin(n * f / 2) / (n * step);
      cosine[i] = double{scale} * length * std::cos(f * middle);
      sine[i] = double{scale} * length * std::sin(f * middle);
    }
  }

  /// out = factor * Rbar x for vectors of d elements, `stride` and `out_stride` apart. x may be
  /// out.
  void rotate(const float* x, index_t stride, index_t d, double factor, float* out,
              index_t out_stride) const {
    for (index_t i = 0; i < pairs; ++i) {
      const rope_channels at(pairing, i, pairs);
      const double low = double{x[at.low * stride]}, high = double{x[at.high * stride]};
      out[at.low * out_stride] = static_cast<float>(factor * (cosine[i] * low - sine[i] * high));
      out[at.high * out_stride] = static_cast<float>(factor * (cosine[i] * high + sine[i] * low));
    }
    for (index_t k = 2 * pairs; k < d; ++k)
      out[k * out_stride] = static_cast<float>(factor * double{x[k * stride]});
  }
};

}  // namespace rota::cpu::detail

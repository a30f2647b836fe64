#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include <rota/core/types.hpp>

namespace rota::train {

/// A learning rate's course: rises over the first steps, then falls by a half cosine to `end` of
/// its height (Loshchilov & Hutter 2017, arXiv 1608.03983, one cycle).
struct warmup_cosine {
  index_t warmup = 20;
  index_t steps = 1000;
  double end = 0;  ///< share of the peak at the last step

  /// Share of the peak rate at `step`, which counts from 1.
  double operator()(index_t step) const {
    const auto at = static_cast<double>(step);
    if (step <= warmup) return at / static_cast<double>(std::max<index_t>(warmup, 1));
    const double length = static_cast<double>(std::max<index_t>(steps - warmup, 1));
    const double share = std::min(1.0, (at - static_cast<double>(warmup)) / length);
    return end + (1 - end) * 0.5 * (1 + std::cos(std::numbers::pi * share));
  }
};

}  // namespace rota::train

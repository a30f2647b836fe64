#pragma once

#include <cmath>

#include <rota/policy/concepts.hpp>

namespace rota {

/// How many of n items a layer keeps when the layers keep `mean` on average, the first the most and
/// the last the fewest (PyramidKV: Cai et al. 2024, arXiv 2406.02069). With w = `window` and L
/// layers:
///
///   least = mean / beta, most = 2 mean - least; if most >= n - w: most = n - w, least = 2 mean -
///   most; n_l = most - l (most - least) / (L - 1), rounded to the nearest (ties to even)
///
/// All layers keep the mean (one at least, unless it is 0) when `least` would fall below the window
/// or above `most`.
ROTA_HD inline index_t pyramid_schedule(double mean, index_t n, index_t window, double beta,
                                        const layer_place& at) {
  const double room = static_cast<double>(n - window);
  double least = mean / beta;
  double most = 2 * mean - least;
  if (most >= room) {
    most = room;
    least = 2 * mean - most;
  }
  if (!(most >= least && least >= static_cast<double>(window))) {
    const auto even = static_cast<index_t>(std::nearbyint(mean));
    return even == 0 && mean > 0 ? 1 : even;
  }
  const double steps = at.layers > 1 ? static_cast<double>(at.layers - 1) : 1.0;
  const double step = (most - least) / steps;
  // Fused by name: compilers may fuse it or not, and the count must be the same everywhere.
  return static_cast<index_t>(std::nearbyint(std::fma(-static_cast<double>(at.layer), step, most)));
}

/// Keeps more in the first layers than in the last, the same in each head of a layer. The layer
/// is select_problem::place, or op::params::place.
struct pyramid {
  using policy_kind = budget_tag;
  struct params {
    double ratio = 1;     ///< kept on average over the layers, in [0, 1]
    index_t m = 0;        ///< if above 0, how many a head on average instead of the ratio
    index_t window = 64;  ///< no layer keeps fewer; at least what is protected. In items: at the
                          ///< group level S for each token
    double beta = 20;     ///< steepness, at least 1 (even)
  };
  static constexpr budget_scope scope = budget_scope::head;

  static void describe(const params& p, fingerprint& f) {
    f.add("pyramid").add(p.ratio).add(p.m).add(p.window).add(p.beta);
  }
  ROTA_HD static status check(const params& p) {
    if (!(p.ratio >= 0 && p.ratio <= 1)) return {errc::bad_ratio, "ratio"};
    if (p.m < 0) return {errc::bad_count, "m"};
    if (p.window < 0) return {errc::bad_count, "window"};
    if (!(p.beta >= 1)) return {errc::bad_parameter, "beta"};
    return {};
  }
  ROTA_HD static index_t count(const params& p, index_t items, const layer_place& at) {
    const auto n = static_cast<double>(items);
    const double mean = p.m > 0 ? std::fmin(static_cast<double>(p.m), n) : p.ratio * n;
    return pyramid_schedule(mean, items, p.window, p.beta, at);
  }
};

}  // namespace rota

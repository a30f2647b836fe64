#pragma once

#include <cmath>

#include <rota/policy/concepts.hpp>

namespace rota {

/// Lets the heads of a layer share one count: each keeps its own best `safeguard` share of the mean
/// first, the rest goes to the best items of all heads (AdaKV: Feng et al. 2024, arXiv 2407.11550).
struct head_adaptive {
  using policy_kind = budget_tag;
  struct params {
    double ratio = 1;        ///< of the layer's items, in [0, 1]
    index_t m = 0;           ///< if above 0, how many items of the layer instead of the ratio
    double safeguard = 0.2;  ///< alpha, in [0, 1]: 0 is one threshold alone, 1 even heads
  };
  static constexpr budget_scope scope = budget_scope::layer;

  static void describe(const params& p, fingerprint& f) {
    f.add("head_adaptive").add(p.ratio).add(p.m).add(p.safeguard);
  }
  ROTA_HD static status check(const params& p) {
    if (!(p.ratio >= 0 && p.ratio <= 1)) return {errc::bad_ratio, "ratio"};
    if (p.m < 0) return {errc::bad_count, "m"};
    if (!(p.safeguard >= 0 && p.safeguard <= 1)) return {errc::bad_ratio, "safeguard"};
    return {};
  }
  ROTA_HD static index_t count(const params& p, index_t items) {
    if (p.m > 0) return p.m < items ? p.m : items;
    return static_cast<index_t>(std::llround(p.ratio * static_cast<double>(items)));
  }
  /// The share is rounded down, but a head keeps one at least where there is a safeguard.
  ROTA_HD static index_t floor(const params& p, index_t count, index_t rows) {
    const index_t mean = count / rows;
    const auto share = static_cast<index_t>(p.safeguard * static_cast<double>(mean));
    return share == 0 && p.safeguard > 0 && mean > 0 ? 1 : share;
  }
};

}  // namespace rota

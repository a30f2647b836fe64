#pragma once

#include <cstdint>

#include <rota/policy/concepts.hpp>

namespace rota {

/// Tokens that stand out against what comes later, without attention (LagKV: Liang et al. 2025,
/// arXiv 2504.04704). After the sinks, tokens form whole partitions of `lag`. For partition p,
/// each channel is normalised by its minimum and maximum over partition p + 1; then
///   x_i = standard deviation over the channels (divisor d - 1), softmax over the partition,
///   score_i = (softmax of keys + softmax of values) / 2,
/// or, ranked, its rank inside the partition divided by lag (0 the least). Sinks, the last
/// partition and what is left over get 1. With n < sinks + 2 lag the scores are positions:
/// (i - sinks) / (n - sinks), and 1 for the sinks.
struct lag_kv {
  using policy_kind = token_scorer_tag;
  using form = whole_head;
  struct params {
    index_t sinks = 4;
    index_t lag = 128;   ///< at least 1
    bool ranked = true;  ///< partitions weigh the same; ties: the earlier token ranks lower
  };
  static void describe(const params& p, fingerprint& f) {
    f.add("lag_kv").add(p.sinks).add(p.lag).add(p.ranked);
  }
};

inline status check_lag_kv(const lag_kv::params& p) {
  if (p.sinks < 0) return {errc::bad_parameter, "sinks"};
  if (p.lag < 1 || p.lag > INT32_MAX) return {errc::bad_parameter, "lag"};
  return {};
}

/// How the tokens of a head fall into partitions.
struct lag_partitions {
  index_t sinks, after;  ///< tokens up to the sinks' end, and behind it
  index_t count = 0;     ///< partitions that have a next one
  bool brief;            ///< too few tokens: scores are positions

  ROTA_HD lag_partitions(const lag_kv::params& p, index_t n)
      : sinks(p.sinks < n ? p.sinks : n), after(n - sinks), brief(after < 2 * p.lag) {
    if (!brief) count = after / p.lag - 1;
  }
  /// The score of a token that lies in none of them.
  ROTA_HD float outside(index_t i) const {
    return brief && i >= sinks ? static_cast<float>(i - sinks) / static_cast<float>(after) : 1.0f;
  }
};

}  // namespace rota

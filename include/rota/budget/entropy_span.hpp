#pragma once

#include <rota/core/fixed_exp.hpp>
#include <rota/policy/concepts.hpp>

namespace rota {

/// Keeps of each token the fewest groups whose softmax mass reaches `mass`: with the scores s_1 >=
/// s_2 >= ... of its groups, the smallest k with
///
///   exp(s_1) + ... + exp(s_k)  >=  mass * (exp(s_1) + ... + exp(s_S)).
///
/// The softmax looks at one token alone: it loses the level, and flat tokens keep more groups than
/// peaked ones. Our definition. A NaN score has no mass and is never kept, +infinity takes all of
/// it. Masses are integers (fixed_exp), so the set is the same on every machine. See
/// calibrate_entropy_span() for the mass that gives a mean number of groups.
struct entropy_span {
  using policy_kind = budget_tag;
  struct params {
    double mass = 0.9;  ///< in [0, 1]: 0 keeps nothing, 1 all but NaN
  };
  /// Unit of the mass: 2^-31.
  static constexpr std::uint64_t whole = std::uint64_t{1} << 31;

  static void describe(const params& p, fingerprint& f) { f.add("entropy_span").add(p.mass); }
  ROTA_HD static status check(const params& p) {
    if (!(p.mass >= 0 && p.mass <= 1)) return {errc::bad_ratio, "mass"};
    return {};
  }

  /// Softmax weight of a score beside the best one of its token, 2^28 for the best.
  ROTA_HD static std::uint32_t weight(float best, float score) {
    return best == score ? std::uint32_t{1} << fixed_exp_bits : fixed_exp(double{best} - score);
  }

  /// Mass of the groups before each one, in units of 1 / whole, rounded down: `before` ascends from
  /// 0, and no entry is above `whole`. The scores as row_count() gets them.
  ROTA_HD static void masses_before(const float* descending, int n, std::uint32_t* before) {
    std::uint64_t total = 0, sum = 0;  // at most 2^32
    for (int i = 0; i < n; ++i) total += weight(descending[0], descending[i]);
    for (int i = 0; i < n; ++i) {
      before[i] = static_cast<std::uint32_t>(sum * whole / total);
      sum += weight(descending[0], descending[i]);
    }
  }

  ROTA_HD static int row_count(const params& p, const float* descending, int n) {
    const auto wanted = static_cast<std::uint64_t>(p.mass * static_cast<double>(whole));
    if (wanted >= whole) return n;
    std::uint64_t total = 0, sum = 0;  // as masses_before(), without its array
    for (int i = 0; i < n; ++i) total += weight(descending[0], descending[i]);
    int k = 0;
    for (; k < n && sum * whole / total < wanted; ++k) sum += weight(descending[0], descending[k]);
    return k;
  }
};

}  // namespace rota

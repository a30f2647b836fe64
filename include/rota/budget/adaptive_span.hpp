#pragma once

#include <rota/policy/concepts.hpp>

namespace rota {

/// Keeps every item whose score reaches a threshold: more relevant tokens get more groups, and
/// no future token is needed to decide. The threshold is calibrated once so that the mean count
/// is the wanted one: see calibrate_span().
struct adaptive_span {
  using policy_kind = budget_tag;
  struct params {
    float tau = 0;  ///< not NaN; -infinity keeps all but NaN scores
  };

  static void describe(const params& p, fingerprint& f) { f.add("adaptive_span").add(p.tau); }
  ROTA_HD static status check(const params& p) {
    if (p.tau != p.tau) return {errc::bad_parameter, "tau"};
    return {};
  }
  ROTA_HD static float threshold(const params& p) { return p.tau; }
};

}  // namespace rota

// The largest step of a budget whose bytes fit, found with few tries: a try selects whole layers.
#pragma once

#include <algorithm>

#include <rota/core/status.hpp>
#include <rota/core/types.hpp>

namespace rota {

/// Finds a step in [0, steps] that fits while the next one does not (or is beyond `steps`).
/// `measure(step, bytes)` says what a step takes; bytes grow with the step, but for padding.
/// budget_too_small from it (a step that cannot hold the protected tokens) sends the search up;
/// any other error ends it.
///
/// Tries `steps` first, then where a straight line through the ends of the bracket meets `limit`
/// (bytes are nearly linear in the budget: 4 to 6 tries where halving takes 13 to 17), every third
/// time the middle, so that no shape of curve takes more than three times the halvings.
///
/// {budget_too_small, "limit"}: no step fits. `step` is then untouched.
template <class Measure>
status largest_step_that_fits(int steps, index_t limit, Measure&& measure, int& step) {
  int low = -1, high = steps + 1;  // what is looked for is in [low, high)
  double bytes_low = 0, bytes_high = 0;
  int best = -1, next = steps;
  for (int tries = 1; high - low > 1; ++tries) {
    index_t bytes = 0;
    const status s = measure(next, bytes);
    if (!s.ok() && !(s == errc::budget_too_small)) return s;
    if (s.ok() && bytes > limit) {
      high = next;
      bytes_high = static_cast<double>(bytes);
    } else {
      low = next;
      if (s.ok()) {
        best = next;
        bytes_low = static_cast<double>(bytes);
      }
    }
    const double rise = bytes_high - bytes_low;
    const double share =
        tries % 3 == 0 || !(rise > 0) ? 0.5 : (static_cast<double>(limit) - bytes_low) / rise;
    const double guess = low + std::clamp(share, 0.0, 1.0) * (high - low);
    next = std::clamp(static_cast<int>(guess), low + 1, std::max(low + 1, high - 1));
  }
  if (best < 0) return {errc::budget_too_small, "limit"};
  step = best;
  return {};
}

}  // namespace rota

// The largest step of a budget whose bytes fit, found with few tries: a try selects whole layers.
#pragma once

#include <rota/core/config.hpp>
#include <rota/core/status.hpp>
#include <rota/core/types.hpp>

namespace rota {

/// Finds a step in [0, steps] that fits while the next one does not (or is beyond `steps`). Bytes
/// grow with the step, but for padding. Plain numbers, so that a device can search too: ask
/// `next`, say with take() what it weighs, until done().
///
/// Tries `steps` first, then where a straight line through the ends of the bracket meets the limit,
/// a little towards the middle: bytes are nearly linear in the budget, so the next two tries close
/// the bracket from both sides. What a try may leave open is bounded, so that no shape of curve
/// takes more than most_tries(): two more than halving does (the idea of the ITP method, Oliveira
/// and Takahashi 2020).
struct step_search {
  index_t low = -1, high = 0;  ///< what is looked for is in [low, high)
  index_t next = 0;
  double bytes_low = 0, bytes_high = 0;
  index_t best = -1;  ///< the largest step seen to fit; -1: none
  int left = 0;       ///< tries

  /// Tries of a search in [0, steps] at most.
  ROTA_HD static constexpr int most_tries(index_t steps) {
    int halvings = 0;
    for (index_t width = 1; width < steps + 2; width *= 2) ++halvings;
    return halvings + 3;
  }

  ROTA_HD static constexpr step_search over(index_t steps) {
    step_search s;
    s.high = steps + 1;
    s.next = steps;
    s.left = most_tries(steps);
    return s;
  }

  ROTA_HD constexpr bool done() const { return high - low <= 1; }

  /// `next` weighs `bytes`. Below zero: it cannot hold what is protected, and the search goes up.
  ROTA_HD constexpr void take(index_t bytes, index_t limit) {
    const bool first = next + 1 == high && low < 0;
    if (bytes > limit) {
      high = next;
      bytes_high = static_cast<double>(bytes);
    } else {
      low = next;
      if (bytes >= 0) {
        best = next;
        bytes_low = static_cast<double>(bytes);
      }
    }
    --left;
    if (!done()) next = guess(limit, first);
  }

 private:
  /// Whole numbers from here on: compilers may fuse products of others, and then two backends might
  /// not try the same steps.
  ROTA_HD constexpr index_t guess(index_t limit, bool straight) const {
    const index_t width = high - low, middle = width / 2;
    const double rise = bytes_high - bytes_low;
    const double share = (static_cast<double>(limit) - bytes_low) / rise;
    index_t at = middle;
    if (rise > 0 && share >= 0 && share <= 1)
      at = static_cast<index_t>(share * static_cast<double>(width));
    const index_t nudge = straight ? 0 : width / 256 + 1;
    if (at + nudge < middle)
      at += nudge;
    else
      at = at - nudge > middle ? at - nudge : middle;
    // Halving must be able to finish whatever this try leaves.
    const index_t most = index_t{1} << (left - 1);
    if (at > most) at = most;
    if (at < width - most) at = width - most;
    if (at < 1) at = 1;
    return low + (at < width ? at : width - 1);
  }
};

/// Searches with `measure(step, bytes)`, which says what a step takes. budget_too_small from it
/// (a step that cannot hold the protected tokens) sends the search up; any other error ends it.
///
/// {budget_too_small, "limit"}: no step fits. `step` is then untouched.
template <class Measure>
status largest_step_that_fits(int steps, index_t limit, Measure&& measure, int& step) {
  step_search search = step_search::over(steps);
  while (!search.done()) {
    index_t bytes = 0;
    const status s = measure(static_cast<int>(search.next), bytes);
    if (!s.ok() && !(s == errc::budget_too_small)) return s;
    search.take(s.ok() ? bytes : -1, limit);
  }
  if (search.best < 0) return {errc::budget_too_small, "limit"};
  step = static_cast<int>(search.best);
  return {};
}

}  // namespace rota

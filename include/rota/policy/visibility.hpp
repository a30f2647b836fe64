#pragma once

#include <rota/core/types.hpp>

// Who sees whom, by position: a query at position q sees the tokens at q - window + 1 .. q.

namespace rota {

/// Tokens first .. last - 1 of a context.
struct token_run {
  index_t first = 0;
  index_t last = 0;
};

/// The position of token i: data[i * stride], or i itself where `data` is null.
struct token_positions {
  const position_t* data = nullptr;
  index_t stride = 1;
  ROTA_HD position_t operator()(index_t i) const {
    return data != nullptr ? data[i * stride] : static_cast<position_t>(i);
  }
};

/// How many of n tokens lie at or before `position`; at(i), ascending, is the position of token i.
template <class At>
ROTA_HD index_t tokens_up_to(index_t n, index_t position, At&& at) {
  index_t low = 0, high = n;
  while (low < high) {
    const index_t middle = (low + high) / 2;
    if (static_cast<index_t>(at(middle)) <= position)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/// More positions than there are.
inline constexpr index_t all_positions = index_t{1} << 32;

/// A sliding window that arithmetic on positions cannot overflow with: none is longer than all of
/// them, though engines say INT64_MAX for "no window".
ROTA_HD inline index_t bounded_window(index_t window) {
  return window < all_positions ? window : all_positions;
}

/// The last position that a query at `position` does not see: less than 0 where it sees all before
/// it. `window` 0: there is none.
ROTA_HD inline index_t last_unseen(index_t position, index_t window) {
  return window <= 0 ? -all_positions : position - bounded_window(window);
}

/// The tokens that a query at `position` sees.
template <class At>
ROTA_HD token_run tokens_seen(index_t n, index_t position, index_t window, At&& at) {
  return {tokens_up_to(n, last_unseen(position, window), at), tokens_up_to(n, position, at)};
}

/// How many of n tokens, the first ones, no query sees that comes after the last of them.
template <class At>
ROTA_HD index_t tokens_expired(index_t n, index_t window, At&& at) {
  if (n == 0 || window <= 0) return 0;
  return tokens_up_to(n, last_unseen(static_cast<index_t>(at(n - 1)) + 1, window), at);
}

}  // namespace rota

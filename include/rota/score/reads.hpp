#pragma once

#include <rota/core/config.hpp>

namespace rota {

/// A pointwise or reduced scorer that never looks at keys (or values) may say so, and then those
/// rows are not read from memory: `static constexpr bool reads_keys = false;` (`reads_values`).
/// Its token_ref then has a null `key` (`value`; a group_ref keeps its slice).
template <class Scorer>
ROTA_HD constexpr bool reads_keys() {
  if constexpr (requires { Scorer::reads_keys; })
    return Scorer::reads_keys;
  else
    return true;
}

template <class Scorer>
ROTA_HD constexpr bool reads_values() {
  if constexpr (requires { Scorer::reads_values; })
    return Scorer::reads_values;
  else
    return true;
}

}  // namespace rota

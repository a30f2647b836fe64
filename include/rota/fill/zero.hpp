#pragma once

#include <rota/policy/concepts.hpp>

namespace rota {

/// Nothing stands in for a dropped group.
struct zero_fill {
  using policy_kind = fill_tag;
  struct params {};
  static void describe(const params&, fingerprint& f) { f.add("zero_fill"); }
  static constexpr std::uint8_t code = 0;
  static constexpr bool has_means = false;
  static constexpr index_t code_rank = 0;
};

}  // namespace rota

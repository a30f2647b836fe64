#pragma once

#include <rota/policy/concepts.hpp>

namespace rota {

/// A dropped group is replaced by the mean, per (kv head, group), of the survivors' dropped
/// slices (DESIGN section 3). The means are stored with the tokens, as float, and counted.
struct mean_fill {
  using policy_kind = fill_tag;
  struct params {};
  static void describe(const params&, fingerprint& f) { f.add("mean_fill"); }
  static constexpr std::uint8_t code = 1;
  static constexpr bool has_means = true;
  static constexpr index_t code_rank = 0;
};

}  // namespace rota

#pragma once

#include <rota/policy/concepts.hpp>

namespace rota {

/// Replaces a dropped group by the mean, per (kv head, group), of the slices that the survivors
/// drop. The store holds the means as float and counts them in its bytes.
struct mean_fill {
  using policy_kind = fill_tag;
  struct params {};
  static void describe(const params&, fingerprint& f) { f.add("mean_fill"); }
  static constexpr std::uint8_t code = 1;
  static constexpr bool has_means = true;
  static constexpr index_t code_rank = 0;
};

}  // namespace rota

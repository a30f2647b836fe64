#pragma once

#include <rota/policy/diagnostics.hpp>

namespace rota {

/// Token selector: who survives. `rota::tokens<rota::key_norm, rota::keep_ratio>`.
template <class Scorer, class Budget>
struct tokens {
  static_assert(detail::require_token_scorer<Scorer>());
  static_assert(detail::require_token_budget<Budget>());
  using policy_kind = token_selector_tag;
  using scorer = Scorer;
  using budget = Budget;
  static constexpr bool selects = true;
  struct params {
    typename Scorer::params scorer;
    typename Budget::params budget;
  };

  static void describe(const params& p, fingerprint& f) {
    static_assert(detail::require_described<Scorer>() && detail::require_described<Budget>());
    f.add("tokens");
    Scorer::describe(p.scorer, f);
    Budget::describe(p.budget, f);
  }
};

/// Group selector: what is kept inside the survivors.
template <class Scorer, class Budget>
struct groups {
  static_assert(detail::require_group_scorer<Scorer>());
  static_assert(detail::require_budget<Budget>());
  using policy_kind = group_selector_tag;
  using scorer = Scorer;
  using budget = Budget;
  static constexpr bool selects = true;
  struct params {
    typename Scorer::params scorer;
    typename Budget::params budget;
  };

  static void describe(const params& p, fingerprint& f) {
    static_assert(detail::require_described<Scorer>() && detail::require_described<Budget>());
    f.add("groups");
    Scorer::describe(p.scorer, f);
    Budget::describe(p.budget, f);
  }
};

/// Every token survives.
struct all_tokens {
  using policy_kind = token_selector_tag;
  using budget = keep_all;
  static constexpr bool selects = false;
  struct params {
    keep_all::params budget;
  };
  static void describe(const params&, fingerprint& f) { f.add("all_tokens"); }
};

/// Survivors keep their whole value.
struct all_groups {
  using policy_kind = group_selector_tag;
  using budget = keep_all;
  static constexpr bool selects = false;
  struct params {
    keep_all::params budget;
  };
  static void describe(const params&, fingerprint& f) { f.add("all_groups"); }
};

}  // namespace rota

#pragma once

#include <cstdint>

#include <rota/core/score_key.hpp>
#include <rota/policy/concepts.hpp>

namespace rota::cpu::detail {

/// A budget with its parameters, types erased: the selection code exists once, not once for each
/// pair of selectors.
struct budget_rule {
  enum class kind { everything, count, threshold };

  kind how = kind::everything;
  budget_scope scope = budget_scope::head;
  std::uint32_t key = 0;  ///< threshold
  index_t (*count_of)(const void* params, index_t items) = nullptr;
  const void* params = nullptr;

  bool selects() const { return how != kind::everything; }
  bool counts() const { return how == kind::count; }
  index_t count(index_t items) const { return count_of(params, items); }
};

/// Checks the budget of a selector and erases its type. `params` must outlive the rule. A budget
/// does not know which level it serves: `argument` says so.
template <class Selector>
status make_rule(const typename Selector::params& params, [[maybe_unused]] const char* argument,
                 budget_rule& rule) {
  if constexpr (Selector::selects) {
    using Budget = typename Selector::budget;
    if (status s = Budget::check(params.budget); !s) return {s.code, argument};
    if constexpr (counting_budget<Budget>) {
      rule.how = budget_rule::kind::count;
      rule.scope = Budget::scope;
      rule.params = &params.budget;
      rule.count_of = [](const void* p, index_t items) -> index_t {
        return Budget::count(*static_cast<const typename Budget::params*>(p), items);
      };
    } else {
      rule.how = budget_rule::kind::threshold;
      rule.key = score_key(Budget::threshold(params.budget));
    }
  }
  return {};
}

}  // namespace rota::cpu::detail

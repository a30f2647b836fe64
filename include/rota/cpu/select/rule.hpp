#pragma once

#include <cstdint>

#include <rota/core/score_key.hpp>
#include <rota/policy/concepts.hpp>

namespace rota::cpu {

/// A budget with its parameters, types erased: for callers that choose budgets at run time, and so
/// that the selection code exists once, not once for each pair of budgets. What it refers to must
/// outlive it. By default the level keeps everything.
struct budget_rule {
  enum class kind { everything, count, threshold, row, type };

  kind how = kind::everything;
  errc fault = errc::ok;  ///< what the budget's check() found
  budget_scope scope = budget_scope::head;
  std::uint32_t key = 0;  ///< threshold
  index_t (*count_of)(const void* params, index_t items, const budget_place& at) = nullptr;
  index_t (*floor_of)(const void* params, index_t count, index_t rows) = nullptr;
  int (*row_count_of)(const void* params, const float* descending, int n) = nullptr;
  index_t (*count_of_type)(const void* params, index_t items, int type) = nullptr;
  int types = 1;
  const void* params = nullptr;

  bool selects() const { return how != kind::everything; }
  bool counts() const { return how == kind::count; }
  /// Whether each token's groups are decided alone.
  bool by_row() const {
    return how == kind::row || by_type() || (counts() && scope == budget_scope::row);
  }
  bool by_type() const { return how == kind::type; }
  bool has_floor() const { return floor_of != nullptr; }
  index_t count(index_t items, const budget_place& at) const { return count_of(params, items, at); }
  index_t floor(index_t count, index_t rows) const { return floor_of(params, count, rows); }
};

/// Checks a budget and erases its type.
template <level_budget Budget>
budget_rule rule_of(const typename Budget::params& params) {
  budget_rule rule;
  if constexpr (selects_by<Budget>) {
    using values = typename Budget::params;
    rule.fault = Budget::check(params).code;
    rule.params = &params;
    if constexpr (counting_budget<Budget>) {
      rule.how = budget_rule::kind::count;
      rule.scope = Budget::scope;
      rule.count_of = [](const void* p, index_t items, const budget_place& at) -> index_t {
        return budget_count<Budget>(*static_cast<const values*>(p), items, at);
      };
      if constexpr (floored_budget<Budget>)
        rule.floor_of = [](const void* p, index_t count, index_t rows) -> index_t {
          return Budget::floor(*static_cast<const values*>(p), count, rows);
        };
    } else if constexpr (typed_budget<Budget>) {
      rule.how = budget_rule::kind::type;
      rule.types = Budget::types;
      rule.count_of_type = [](const void* p, index_t items, int type) -> index_t {
        return Budget::count_of_type(*static_cast<const values*>(p), items, type);
      };
    } else if constexpr (row_budget<Budget>) {
      rule.how = budget_rule::kind::row;
      rule.row_count_of = [](const void* p, const float* descending, int n) {
        return Budget::row_count(*static_cast<const values*>(p), descending, n);
      };
    } else {
      rule.how = budget_rule::kind::threshold;
      rule.key = score_key(Budget::threshold(params));
    }
  }
  return rule;
}

/// A rule of parameters that go away at once.
template <level_budget Budget>
budget_rule rule_of(const typename Budget::params&&) = delete;

}  // namespace rota::cpu

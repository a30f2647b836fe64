// expect: rota: a budget needs `static rota::status check(const params&)` and either
#include <rota/rota.hpp>

struct unchecked {
  using policy_kind = rota::budget_tag;
  struct params {};
  static constexpr rota::budget_scope scope = rota::budget_scope::head;
  static rota::index_t count(const params&, rota::index_t items) { return items; }
};

using op = rota::attention<rota::groups<rota::value_norm, unchecked>>;
op::params p;

// expect: rota: a budget needs `static rota::status check(const params&)` and either
#include <rota/rota.hpp>

struct boundless {
  using policy_kind = rota::budget_tag;
  struct params {};
  static constexpr rota::budget_scope scope = rota::budget_scope::head;
  static rota::status check(const params&) { return {}; }
};

using op = rota::attention<rota::tokens<rota::key_norm, boundless>>;
op::params p;

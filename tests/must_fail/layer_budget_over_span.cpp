// expect: rota: a budget whose count takes a rota::budget_place counts in one layer
#include <rota/rota.hpp>

struct steps {
  using policy_kind = rota::budget_tag;
  struct params {};
  static constexpr rota::budget_scope scope = rota::budget_scope::span;
  static rota::status check(const params&) { return {}; }
  static rota::index_t count(const params&, rota::index_t items, const rota::budget_place& at) {
    return items / (1 + at.layer);
  }
};

using op = rota::attention<rota::tokens<rota::key_norm, steps>>;
op::params p;

// expect: rota: a policy needs a nested `struct params` (it may be empty)
#include <rota/rota.hpp>

struct bare {
  using policy_kind = rota::token_scorer_tag;
  static float score(const rota::token_ref&) { return 0; }
};

using op = rota::attention<rota::tokens<bare, rota::keep_ratio>>;
op::params p;

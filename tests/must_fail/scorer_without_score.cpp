// expect: rota: a token scorer needs `static float score(const params&, const rota::token_ref&)`
#include <rota/rota.hpp>

struct forgetful {
  using policy_kind = rota::token_scorer_tag;
  struct params {};
};

using op = rota::attention<rota::tokens<forgetful, rota::keep_ratio>>;
op::params p;

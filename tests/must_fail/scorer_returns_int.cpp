// expect: rota: a token scorer needs `static float score(const params&, const rota::token_ref&)`
#include <rota/rota.hpp>

struct counting {
  using policy_kind = rota::token_scorer_tag;
  struct params {};
  static int score(const params&, const rota::token_ref&) { return 0; }
};

using op = rota::attention<rota::tokens<counting, rota::keep_ratio>>;
op::params p;

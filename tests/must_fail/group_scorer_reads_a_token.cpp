// expect: rota: a group scorer needs `static float score(const params&, const rota::group_ref&)`
#include <rota/rota.hpp>

struct coarse {
  using policy_kind = rota::group_scorer_tag;
  struct params {};
  static float score(const params&, const rota::token_ref&) { return 0; }
};

using op = rota::attention<rota::groups<coarse, rota::keep_ratio>>;
op::params p;

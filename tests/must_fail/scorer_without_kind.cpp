// expect: rota: a policy needs `using policy_kind = ...`; a token scorer's is
#include <rota/rota.hpp>

struct untagged {
  struct params {};
  static float score(const params&, const rota::token_ref&) { return 0; }
};

using op = rota::attention<rota::tokens<untagged, rota::keep_ratio>>;
op::params p;

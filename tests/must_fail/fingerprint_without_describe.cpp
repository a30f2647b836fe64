// expect: rota: a store is saved under a fingerprint of its policies
#include <rota/rota.hpp>

struct newest {
  using policy_kind = rota::token_scorer_tag;
  struct params {};
  static float score(const params&, const rota::token_ref& t) {
    return static_cast<float>(t.position);
  }
};

using op = rota::attention<rota::tokens<newest, rota::keep_ratio>>;
const std::uint64_t name = op::fingerprint({});

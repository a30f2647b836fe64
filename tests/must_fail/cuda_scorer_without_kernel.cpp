// expect: rota: cuda has no kernel for this scorer
#include <rota/cuda/score.cuh>

struct whole_head_scorer_of_mine {
  using policy_kind = rota::token_scorer_tag;
  using form = rota::whole_head;
  struct params {};
};

rota::status score(const rota::cuda::backend& b, const rota::context<rota::bf16>& c,
                   rota::view<float, 2> out, rota::workspace ws) {
  return score_tokens(b, whole_head_scorer_of_mine{}, {}, c, out, ws);
}

// expect: a_scorer_needs_a_part_that_the_context_does_not_carry<rota::attention_mass
#include <rota/cpu/score.hpp>
#include <rota/rota.hpp>

using op = rota::attention<rota::groups<rota::attention_mass, rota::keep_ratio>>;

rota::status score(const rota::context<rota::bf16>& without_window_queries,
                   const rota::layer_scores& scores, rota::workspace ws) {
  return op::score(rota::cpu::backend{}, without_window_queries, {}, scores, ws);
}

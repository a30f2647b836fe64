// expect: a_scorer_needs_a_part_that_the_context_does_not_carry<rota::snapkv, rota::window_queries
#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

using op = rota::attention<rota::tokens<rota::snapkv, rota::keep_ratio>>;

rota::status f(const rota::context<rota::bf16>& without, op::store_type& store,
               rota::workspace ws) {
  return op::compress(rota::cpu::backend{}, without, {}, store, ws);
}

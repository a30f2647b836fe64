// expect: rota: reroute_within evicts tokens until the store fits
#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

using op = rota::attention<rota::tokens<rota::key_norm, rota::adaptive_span>>;

rota::status evict(op::store_type& from, op::store_type& to) {
  return op::reroute_within(rota::cpu::backend{}, from, rota::context<rota::bf16>{}, {}, 1000, to,
                            {});
}

// expect: rota: re-routing, saving and restoring are of packed<E, W> stores
#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

using op = rota::attention<rota::dense<rota::bf16>>;

rota::status f(const op::store_type& from, const rota::context<rota::bf16>& parts,
               op::store_type& to, rota::workspace ws) {
  return op::reroute(rota::cpu::backend{}, from, parts, {}, to, ws);
}

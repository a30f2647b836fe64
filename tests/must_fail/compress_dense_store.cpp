// expect: rota: compress and pack write the operator's own op::store_type
#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

using op = rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>>;

rota::status f(const rota::context<rota::bf16>& c, rota::dense_store<rota::bf16>& store,
               rota::workspace ws) {
  return op::compress(rota::cpu::backend{}, c, {}, store, ws);
}

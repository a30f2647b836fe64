// expect: rota: this fill needs a part that the context does not carry
#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

using op = rota::attention<rota::low_rank_fill<8>>;

rota::status pack(const rota::context<rota::bf16>& ctx, const rota::selection& kept,
                  op::store_type& store) {
  return op::pack(rota::cpu::backend{}, ctx, kept, {}, store, {});
}

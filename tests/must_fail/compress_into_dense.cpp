// expect: rota: only a packed<E, W> store is made from a selection; a dense or paged store is
// filled
#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

using op = rota::attention<rota::dense<rota::bf16>>;
std::size_t f(const rota::cpu::backend& b, const rota::context<rota::bf16>& c) {
  return op::compress_workspace_bytes(b, c, {});
}

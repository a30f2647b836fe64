#include "evaluate/packing.hpp"

#include <rota/fill/mean.hpp>
#include <rota/fill/zero.hpp>

#include "evaluate/pack_layers.hpp"

namespace rota_lm::eval {
namespace {

/// Calls f.operator()<Op>() with the packing chosen.
template <class F>
decltype(auto) with_packing(const store_choice& c, F&& f) {
  const bool mean = c.stand_in == fill::mean;
  if (c.group_width == 8) {
    return mean ? f.template operator()<packing<8, rota::mean_fill>>()
                : f.template operator()<packing<8, rota::zero_fill>>();
  }
  return mean ? f.template operator()<packing<16, rota::mean_fill>>()
              : f.template operator()<packing<16, rota::zero_fill>>();
}

}  // namespace

std::size_t sealed_bytes(const store_choice& how, const std::vector<layer_context>& contexts,
                         const std::vector<rota::selection>& kept) {
  return with_packing(how, [&]<class Op>() {
    typename Op::params p;
    p.store.tail_capacity = 0;
    rota::index_t bytes = 0;
    for (std::size_t i = 0; i < contexts.size(); ++i) {
      bytes += Op::store_bytes(contexts[i], kept[i], p);
    }
    return static_cast<std::size_t>(bytes);
  });
}

void pack(const store_choice& how, const rota::cpu::backend& backend,
          const std::vector<layer_context>& contexts, const std::vector<rota::selection>& kept,
          std::size_t tail, scratch_memory& scratch, packed_cache& out) {
  with_packing(how,
               [&]<class Op>() { pack_layers<Op>(backend, contexts, kept, tail, scratch, out); });
}

}  // namespace rota_lm::eval

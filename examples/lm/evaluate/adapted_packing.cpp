#include "evaluate/adapted_packing.hpp"

#include <string>

#include <rota/fill/low_rank.hpp>
#include <rota/fill/mean.hpp>
#include <rota/fill/zero.hpp>

#include "engine/error.hpp"
#include "engine/value_routing.hpp"
#include "evaluate/pack_layers.hpp"

namespace rota_lm::eval {
namespace {

/// Calls f.operator()<Op>() with the packing that the routing asks for; check_packable() says
/// whether there is one.
template <int Width, class F>
void with_fill(const value_routing& routing, F& f) {
  if (routing.fill == fill_kind::zero) {
    f.template operator()<packing<Width, rota::zero_fill>>();
  } else if (routing.fill == fill_kind::mean) {
    f.template operator()<packing<Width, rota::mean_fill>>();
  } else if (routing.fill_rank == 4) {
    f.template operator()<packing<Width, rota::low_rank_fill<4>>>();
  } else if (routing.fill_rank == 8) {
    f.template operator()<packing<Width, rota::low_rank_fill<8>>>();
  } else {
    f.template operator()<packing<Width, rota::low_rank_fill<16>>>();
  }
}

}  // namespace

void check_packable(const value_routing& routing) {
  const std::size_t width = routing.group_width, rank = routing.fill_rank;
  if (width != 8 && width != 16) {
    fail("value routing",
         "groups of " + std::to_string(width) + ": this program packs groups of 8 and of 16");
  }
  const bool has_code = routing.fill != fill_kind::zero && routing.fill != fill_kind::mean;
  if (has_code && rank != 4 && rank != 8 && rank != 16) {
    fail("value routing",
         "a fill of rank " + std::to_string(rank) + ": this program packs codes of 4, 8 and 16");
  }
}

void pack(const value_routing& routing, const rota::cpu::backend& backend,
          const std::vector<adapted_context>& contexts, const std::vector<rota::selection>& kept,
          std::size_t tail, scratch_memory& scratch, packed_cache& out) {
  check_packable(routing);
  const auto with = [&]<class Op>() {
    pack_layers<Op>(backend, contexts, kept, tail, scratch, out);
  };
  if (routing.group_width == 8) {
    with_fill<8>(routing, with);
  } else {
    with_fill<16>(routing, with);
  }
}

}  // namespace rota_lm::eval

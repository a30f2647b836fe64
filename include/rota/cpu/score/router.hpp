#pragma once

#include <rota/cpu/score/state_tile.hpp>
#include <rota/score/router.hpp>

namespace rota::cpu {

inline namespace ROTA_CPU_ISA {
namespace score_detail {

/// Scratch memory of a router: for each worker a tile of states and one of outputs.
struct router_memory {
  index_t hidden = 0, outputs = 0;
  float* tiles = nullptr;  ///< [threads, hidden + outputs, tile_tokens]

  template <class Context>
  router_memory(carver& from, const backend& b, const Context& c)
      : hidden(c.router.extent[1]), outputs(c.router.extent[0]) {
    tiles = from.take<float>(b.exec.threads * (hidden + outputs) * tile_tokens);
  }
  float* states(int worker) const { return tiles + worker * (hidden + outputs) * tile_tokens; }
  float* results(int worker) const { return states(worker) + hidden * tile_tokens; }
};

}  // namespace score_detail
}  // namespace ROTA_CPU_ISA

/// The router: what score_groups() calls. Errors besides its own: bad_shape, null_view and
/// bad_stride of "layer_hidden", "router" and "router_bias".
template <router_form Form, element E, class... Parts>
std::size_t score_whole_groups_workspace_bytes(const backend& b, router<Form>,
                                               const typename router<Form>::params&,
                                               const context<E, Parts...>& c, int width) {
  if (width < 1 || !check_router<Form>(c, c.d_v() / width)) return 0;
  carver count;
  score_detail::router_memory(count, b, c);
  return count.bytes();
}

template <router_form Form, element E, class... Parts>
status score_whole_groups(const backend& b, router<Form>, const typename router<Form>::params&,
                          const context<E, Parts...>& c, int, const view<float, 3>& out,
                          workspace ws) {
  namespace sd = score_detail;
  const index_t groups = out.extent[2];
  if (status s = check_router<Form>(c, groups); !s) return s;
  carver from(ws);
  const sd::router_memory m(from, b, c);
  if (status s = from.check(); !s) return s;
  const index_t tiles = (c.tokens() + sd::tile_tokens - 1) / sd::tile_tokens;
  parallel_for(b, tiles, [&](index_t i, int worker) {
    const index_t first = i * sd::tile_tokens;
    const index_t count = std::min(sd::tile_tokens, c.tokens() - first);
    float* const results = m.results(worker);
    sd::load_state_tile(c.layer_hidden, first, count, m.states(worker));
    sd::multiply_weights(c.router, m.states(worker), results);
    for (index_t o = 0; o < m.outputs; ++o)
      for (index_t t = 0; t < count; ++t) results[o * sd::tile_tokens + t] += c.router_bias(o);
    for (index_t h = 0; h < c.kv_heads(); ++h)
      for (index_t t = 0; t < count; ++t)
        for (index_t s = 0; s < groups; ++s)
          out(h, first + t, s) =
              router_logit<Form>(results + t, sd::tile_tokens, groups, c.kv_heads(), h, s);
  });
  return {};
}

}  // namespace rota::cpu

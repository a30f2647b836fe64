#pragma once

#include <cmath>

#include <rota/cpu/score/router.hpp>
#include <rota/score/role_router.hpp>

namespace rota::cpu {

inline namespace ROTA_CPU_ISA {
namespace score_detail {

/// Scratch memory of a role router: for each worker a tile of states, one of outputs and one of
/// roles.
struct role_router_memory {
  index_t hidden = 0, outputs = 0, roles = 0;
  float* tiles = nullptr;  ///< [threads, hidden + outputs + roles, tile_tokens]

  template <class Context>
  role_router_memory(carver& from, const backend& b, const Context& c)
      : hidden(c.router.extent[1]), outputs(c.router.extent[0]), roles(c.role_router.extent[0]) {
    tiles = from.take<float>(b.exec.threads * rows() * tile_tokens);
  }
  index_t rows() const { return hidden + outputs + roles; }
  float* states(int worker) const { return tiles + worker * rows() * tile_tokens; }
  float* results(int worker) const { return states(worker) + hidden * tile_tokens; }
  float* role_shares(int worker) const { return results(worker) + outputs * tile_tokens; }
};

/// Outputs of the roles [roles, tile_tokens] become their softmax, token by token.
inline void soften_roles(const view<const float, 1>& bias, index_t count, float* roles) {
  const index_t n = bias.extent[0];
  for (index_t t = 0; t < count; ++t) {
    float most = -INFINITY, total = 0;
    for (index_t m = 0; m < n; ++m) {
      float& x = roles[m * tile_tokens + t];
      x += bias(m);
      most = std::max(most, x);
    }
    for (index_t m = 0; m < n; ++m) {
      float& x = roles[m * tile_tokens + t];
      x = std::exp(x - most);
      total += x;
    }
    for (index_t m = 0; m < n; ++m) roles[m * tile_tokens + t] /= total;
  }
}

}  // namespace score_detail
}  // namespace ROTA_CPU_ISA

/// The role-conditioned router: what score_groups() calls. Errors besides its own: those of the
/// router, bad_parameter of "share", bad_shape, null_view and bad_stride of "role_router",
/// "role_bias" and "role_groups".
template <int Roles, element E, class... Parts>
std::size_t score_whole_groups_workspace_bytes(const backend& b, role_router<Roles>,
                                               const typename role_router<Roles>::params& p,
                                               const context<E, Parts...>& c, int width) {
  if (width < 1 || !check_role_router<Roles>(c, c.d_v() / width, p.share)) return 0;
  carver count;
  score_detail::role_router_memory(count, b, c);
  return count.bytes();
}

template <int Roles, element E, class... Parts>
status score_whole_groups(const backend& b, role_router<Roles>,
                          const typename role_router<Roles>::params& p,
                          const context<E, Parts...>& c, int, const view<float, 3>& out,
                          workspace ws) {
  namespace sd = score_detail;
  const index_t groups = out.extent[2];
  if (status s = check_role_router<Roles>(c, groups, p.share); !s) return s;
  carver from(ws);
  const sd::role_router_memory m(from, b, c);
  if (status s = from.check(); !s) return s;
  const index_t tiles = (c.tokens() + sd::tile_tokens - 1) / sd::tile_tokens;
  parallel_for(b, tiles, [&](index_t i, int worker) {
    const index_t first = i * sd::tile_tokens;
    const index_t count = std::min(sd::tile_tokens, c.tokens() - first);
    float *const states = m.states(worker), *const results = m.results(worker),
                 *const roles = m.role_shares(worker);
    sd::load_state_tile(c.layer_hidden, first, count, states);
    sd::multiply_weights(c.router, states, results);
    sd::multiply_weights(c.role_router, states, roles);
    sd::soften_roles(c.role_bias, count, roles);
    for (index_t o = 0; o < m.outputs; ++o) {
      const index_t h = o / groups, s = o % groups;
      const float* const of_roles = c.role_groups.row(o);
      for (index_t t = 0; t < count; ++t) {
        float leaning = 0;
        for (index_t r = 0; r < Roles; ++r) leaning += of_roles[r] * roles[r * sd::tile_tokens + t];
        out(h, first + t, s) =
            results[o * sd::tile_tokens + t] + c.router_bias(o) + p.share * leaning;
      }
    }
  });
  return {};
}

}  // namespace rota::cpu

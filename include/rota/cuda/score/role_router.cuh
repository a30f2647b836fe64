#pragma once

#include <rota/cuda/score/router.cuh>
#include <rota/cuda/score/softmax_rows.cuh>
#include <rota/score/role_router.hpp>

namespace rota::cuda {

/// Scratch memory of a role-conditioned router. Behind a token's outputs lie its roles' logits.
struct role_router_memory {
  split_rows weights;       ///< [outputs + roles, hidden]
  float* states = nullptr;  ///< [tokens, outputs + roles]

  template <class Context>
  role_router_memory(carver& from, const Context& c)
      : weights(split_rows::carve(from, 1, c.router.extent[0] + c.role_router.extent[0],
                                  c.router.extent[1])),
        states(from.take<float>(c.tokens() * weights.rows)) {}
};

/// Logits of a token's groups, a thread each.
template <int Roles>
struct role_logits_kernel {
  static constexpr int threads = 256;
  static constexpr int least_blocks = 2;

  struct arguments {
    const float* states;  ///< [tokens, outputs + Roles]
    const float* bias;
    const float* role_bias;
    const float* mixture;  ///< [outputs, Roles]
    index_t mixture_stride;
    float share;
    index_t outputs, groups;
    length_ref tokens;
    float* out;
    index_t out_head, out_token;  ///< strides
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t i = index_t{ptx::block_x()} * threads + ptx::thread_index(), h = ptx::block_y();
    const index_t token = i / a.groups, s = i % a.groups;
    if (token >= a.tokens.get(a.fault)) return;
    const index_t output = h * a.groups + s;
    const float* const own = a.states + token * (a.outputs + Roles);
    const auto role = [&](int r) {
      return (ptx::load(own + a.outputs + r) + ptx::load(a.role_bias + r)) * log2_e;
    };
    softmax_part roles;
    for (int r = 0; r < Roles; ++r) roles.add(role(r));
    float lean = 0;
    for (int r = 0; r < Roles; ++r)
      lean += ptx::exp2(role(r) - roles.max) / roles.sum *
              ptx::load(a.mixture + output * a.mixture_stride + r);
    ptx::store(a.out + h * a.out_head + token * a.out_token + s,
               ptx::load(own + output) + ptx::load(a.bias + output) + a.share * lean);
  }
};

/// The role-conditioned router: what score_groups() calls. Errors besides those of the router:
/// bad_parameter "share", and the same of "role_router", "role_bias" and "role_groups".
template <int Roles, element E, class... Parts>
std::size_t score_whole_groups_workspace_bytes(const backend&, role_router<Roles>,
                                               const typename role_router<Roles>::params& p,
                                               const context<E, Parts...>& c, int width) {
  if (width < 1 || !check_role_router<Roles>(c, c.d_v() / width, p.share)) return 0;
  carver count;
  role_router_memory(count, c);
  return count.bytes();
}

template <int Roles, element E, class... Parts>
status score_whole_groups(const backend& b, role_router<Roles>,
                          const typename role_router<Roles>::params& p,
                          const context<E, Parts...>& c, int, const view<float, 3>& out,
                          workspace ws) {
  const index_t groups = out.extent[2];
  if (status s = check_role_router<Roles>(c, groups, p.share); !s) return s;
  if (status s = check_router_memory(b, c); !s) return s;
  if (status s = check_rows(b, c.role_router, alignof(float), "role_router"); !s) return s;
  if (status s = check_rows(b, c.role_bias, alignof(float), "role_bias"); !s) return s;
  if (status s = check_rows(b, c.role_groups, alignof(float), "role_groups"); !s) return s;
  carver from(ws);
  const role_router_memory m(from, c);
  if (status s = from.check(); !s) return s;
  const length_ref tokens{c.tokens(), c.device_tokens};
  const index_t outputs = c.router.extent[0];
  const weight_rows both(c.router, c.role_router, outputs);
  if (status s = launch_split(b, 1, both, m.weights); !s) return s;
  const state_rows states{c.layer_hidden.data, c.layer_hidden.stride[0], tokens};
  if (status s = launch_product(b, states, m.weights, m.states); !s) return s;
  using kernel = role_logits_kernel<Roles>;
  return launch<kernel>(
      b, {blocks_of(c.tokens() * groups, kernel::threads), c.kv_heads()},
      {m.states, c.router_bias.data, c.role_bias.data, c.role_groups.data, c.role_groups.stride[0],
       p.share, outputs, groups, tokens, out.data, out.stride[0], out.stride[1], b.fault});
}

}  // namespace rota::cuda

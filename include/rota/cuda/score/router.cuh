#pragma once

#include <rota/cuda/context.cuh>
#include <rota/cuda/product/rows_product.cuh>
#include <rota/score/router.hpp>

namespace rota::cuda {

/// Scratch memory of a router.
struct router_memory {
  split_rows weights;
  float* outputs = nullptr;  ///< [tokens, outputs]

  template <class Context>
  router_memory(carver& from, const Context& c)
      : weights(split_rows::carve(from, 1, c.router.extent[0], c.router.extent[1])),
        outputs(from.take<float>(c.tokens() * c.router.extent[0])) {}
};

/// Logits of a token's groups from its outputs, a thread each.
template <router_form Form>
struct router_logits_kernel {
  static constexpr int threads = 256;
  static constexpr int least_blocks = 2;

  struct arguments {
    const float* outputs;
    index_t width;  ///< outputs of a token
    const float* bias;
    index_t kv_heads, groups;
    length_ref tokens;
    float* out;
    index_t out_head, out_token;  ///< strides
    std::uint32_t* fault;
  };

  /// Output i of a token, with its bias; nothing for i < 0.
  ROTA_DEVICE static float biased(const arguments& a, index_t token, index_t i) {
    if (i < 0) return 0;
    return ptx::load(a.outputs + token * a.width + i) + ptx::load(a.bias + i);
  }

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t i = index_t{ptx::block_x()} * threads + ptx::thread_index(), h = ptx::block_y();
    const index_t token = i / a.groups, s = i % a.groups;
    if (token >= a.tokens.get(a.fault)) return;
    const router_terms t = Form::terms(a.groups, a.kv_heads, h, s);
    ptx::store(a.out + h * a.out_head + token * a.out_token + s,
               biased(a, token, t.first) + biased(a, token, t.second));
  }
};

/// Where in device memory the parts of a router lie, and how.
template <class Context>
status check_router_memory(const backend& b, const Context& c) {
  if (status s = check_rows(b, c.layer_hidden, chunk_bytes, "layer_hidden"); !s) return s;
  if (status s = check_rows(b, c.router, alignof(float), "router"); !s) return s;
  return check_rows(b, c.router_bias, alignof(float), "router_bias");
}

/// The router: what score_groups() calls. Errors besides its own: bad_shape, null_view, bad_stride,
/// wrong_memory and bad_alignment (rows of states on 16 bytes) of "layer_hidden", "router" and
/// "router_bias".
template <router_form Form, element E, class... Parts>
std::size_t score_whole_groups_workspace_bytes(const backend&, router<Form>,
                                               const typename router<Form>::params&,
                                               const context<E, Parts...>& c, int width) {
  if (width < 1 || !check_router<Form>(c, c.d_v() / width)) return 0;
  carver count;
  router_memory(count, c);
  return count.bytes();
}

template <router_form Form, element E, class... Parts>
status score_whole_groups(const backend& b, router<Form>, const typename router<Form>::params&,
                          const context<E, Parts...>& c, int, const view<float, 3>& out,
                          workspace ws) {
  const index_t groups = out.extent[2];
  if (status s = check_router<Form>(c, groups); !s) return s;
  if (status s = check_router_memory(b, c); !s) return s;
  carver from(ws);
  const router_memory m(from, c);
  if (status s = from.check(); !s) return s;
  const length_ref tokens{c.tokens(), c.device_tokens};
  if (status s = launch_split(b, 1, weight_rows(c.router), m.weights); !s) return s;
  const state_rows states{c.layer_hidden.data, c.layer_hidden.stride[0], tokens};
  if (status s = launch_product(b, states, m.weights, m.outputs); !s) return s;
  using kernel = router_logits_kernel<Form>;
  return launch<kernel>(b, {blocks_of(c.tokens() * groups, kernel::threads), c.kv_heads()},
                        {m.outputs, m.weights.rows, c.router_bias.data, c.kv_heads(), groups,
                         tokens, out.data, out.stride[0], out.stride[1], b.fault});
}

}  // namespace rota::cuda

#pragma once

#include <rota/cuda/score/attention_tokens.cuh>
#include <rota/cuda/score/rows.cuh>
#include <rota/score/attention_mass.hpp>
#include <rota/score/row_norm.hpp>

namespace rota::cuda {

/// A token's mass, smoothed, times the norm of each of its slices: a thread a token.
template <element E>
struct mass_groups_kernel {
  static constexpr int threads = score_tokens_a_block;
  static constexpr int least_blocks = 2;
  using block = score_block<E, false, true>;

  struct arguments {
    mass_scores scores;
    pack_source<E> from;
    int d_k, d_v, width;
    index_t out_token;  ///< stride
  };

  ROTA_DEVICE static void run(const arguments& a) {
    const mass_scores& m = a.scores;
    if (failed(m.fault)) return;
    const block own(a.from, a.d_k, a.d_v, m.kv_heads, ptx::shared_base(), m.fault);
    if (!own.has_token()) return;
    const float mass = m.pooled(own.head, own.token.index, own.token.tokens);
    float* const to = m.out + own.head * m.out_head + own.token.index * a.out_token;
    for (int s = 0; s < a.d_v / a.width; ++s)
      ptx::store(to + s, mass * row_norm(own.token.value + s * a.width, a.width));
  }
};

/// Sums the attention of the window; `scores`: what each token has of it, smoothed.
template <element E, class... Parts>
status pool_mass(const backend& b, const mass_pooling& p, const context<E, Parts...>& c,
                 const view<float, 3>& out, workspace ws, mass_scores& scores) {
  if (status s = check_scale(p.scale); !s) return s;
  if (status s = check_kernel(p.pool_kernel, "pool_kernel"); !s) return s;
  if (status s = check_queries(b, c, out); !s) return s;
  const mass_queries queries(c, p.scale);
  carver from(ws);
  const auto m = attention_tokens_memory::carve(from, c, queries);
  if (status s = from.check(); !s) return s;
  scores = {m.mass,     c.kv_heads(),  m.pass.group, m.pass.queries, m.pass.seen,
            m.pass.own, p.pool_kernel, out.data,     out.stride[0],  {c.tokens(), c.device_tokens},
            b.fault};
  return column_mass(b, c, queries, m.pass, m.mass);
}

/// Attention mass: what score_groups() calls. Errors besides its own: bad_parameter "scale" or
/// "pool_kernel", and those of "queries".
template <element E, class... Parts>
std::size_t score_whole_groups_workspace_bytes(const backend&, attention_mass,
                                               const attention_mass::params& p,
                                               const context<E, Parts...>& c, int) {
  carver count;
  attention_tokens_memory::carve(count, c, mass_queries(c, p.scale));
  return count.bytes();
}

template <element E, class... Parts>
status score_whole_groups(const backend& b, attention_mass, const attention_mass::params& p,
                          const context<E, Parts...>& c, int width, const view<float, 3>& out,
                          workspace ws) {
  mass_scores scores;
  if (status s = pool_mass(b, p, c, out, ws, scores); !s) return s;
  using kernel = mass_groups_kernel<E>;
  return launch<kernel>(b, {blocks_of(c.tokens(), kernel::threads), c.kv_heads()},
                        {scores, pack_source<E>(c), static_cast<int>(c.d_k()),
                         static_cast<int>(c.d_v()), width, out.stride[1]},
                        kernel::block::shared_bytes(c.d_k(), c.d_v()));
}

}  // namespace rota::cuda

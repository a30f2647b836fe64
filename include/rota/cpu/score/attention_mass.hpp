#pragma once

#include <rota/cpu/score/column_mass.hpp>
#include <rota/score/attention_mass.hpp>
#include <rota/score/row_norm.hpp>

namespace rota::cpu {

inline namespace ROTA_CPU_ISA {
namespace score_detail {

/// Scratch memory of attention_mass.
struct attention_mass_memory {
  mass_memory pass;
  float* mass = nullptr;  ///< [kv_heads, tokens]
  float* pool = nullptr;  ///< [kv_heads, tokens]

  template <element E, class... Parts>
  static attention_mass_memory carve(carver& from, const backend& b,
                                     const context<E, Parts...>& c) {
    attention_mass_memory m;
    m.pass = mass_memory::carve(from, b, c, mass_queries(c, 0));
    m.mass = from.take<float>(c.kv_heads() * c.tokens());
    m.pool = from.take<float>(c.kv_heads() * c.tokens());
    return m;
  }
};

template <element E, class... Parts>
status check_attention_mass(const attention_mass::params& p, const context<E, Parts...>& c,
                            const view<float, 3>& out) {
  if (status s = check_scale(p.scale); !s) return s;
  if (status s = check_kernel(p.pool_kernel, "pool_kernel"); !s) return s;
  return check_queries(c, out);
}

/// m.mass [kv_heads, tokens]: attention summed over the window's rows, smoothed.
template <element E, class... Parts>
void pooled_mass(const backend& b, const attention_mass::params& p, const context<E, Parts...>& c,
                 const attention_mass_memory& m) {
  const index_t n = c.tokens();
  column_mass(b, c, mass_queries(c, p.scale), m.pass, view<float, 2>(m.mass, c.kv_heads(), n));
  parallel_for(b, n > 0 ? c.kv_heads() : 0, [&](index_t h, int) {
    average_pool(m.mass + h * n, n, p.pool_kernel, m.pool + h * n);
  });
}

/// out(h, i, s) = score(h, i, s, slice) for every slice of every value.
template <element E, class... Parts, class F>
void for_slices(const backend& b, const context<E, Parts...>& c, const detail::row_buffers& rows,
                int width, const view<float, 3>& out, F&& score) {
  const detail::token_chunks chunks{c.tokens(), c.kv_heads(), mass_chunk};
  parallel_for(b, chunks.count(), [&](index_t at, int worker) {
    const detail::token_chunk chunk = chunks.at(at);
    for (index_t i = chunk.first; i < chunk.last; ++i) {
      const float* const value =
          detail::float_row(c.values.row(i, chunk.head), c.d_v(), rows.value(worker));
      float* const scores = out.row(chunk.head, i);
      for (index_t s = 0; s < out.extent[2]; ++s)
        scores[s] = score(chunk.head, i, s, value + s * width);
    }
  });
}

}  // namespace score_detail
}  // namespace ROTA_CPU_ISA

/// Attention mass: what score_groups() calls. Errors besides its own: bad_parameter "scale" or
/// "pool_kernel", and "queries" with bad_shape, null_view, bad_stride and heads_not_divisible.
template <element E, class... Parts>
std::size_t score_whole_groups_workspace_bytes(const backend& b, attention_mass,
                                               const attention_mass::params&,
                                               const context<E, Parts...>& c, int) {
  carver count;
  score_detail::attention_mass_memory::carve(count, b, c);
  return count.bytes();
}

template <element E, class... Parts>
status score_whole_groups(const backend& b, attention_mass, const attention_mass::params& p,
                          const context<E, Parts...>& c, int width, const view<float, 3>& out,
                          workspace ws) {
  namespace sd = score_detail;
  if (status s = sd::check_attention_mass(p, c, out); !s) return s;
  carver from(ws);
  const auto m = sd::attention_mass_memory::carve(from, b, c);
  if (status s = from.check(); !s) return s;
  sd::pooled_mass(b, p, c, m);
  sd::for_slices(b, c, m.pass.buffers, width, out,
                 [&](index_t h, index_t i, index_t, const float* slice) {
                   return m.mass[h * c.tokens() + i] * row_norm(slice, width);
                 });
  return {};
}

}  // namespace rota::cpu

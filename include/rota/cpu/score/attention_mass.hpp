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
    m.pass = mass_memory::carve(from, b, c, {c.queries});
    m.mass = from.take<float>(c.kv_heads() * c.tokens());
    m.pool = from.take<float>(c.kv_heads() * c.tokens());
    return m;
  }
};

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
  if (status s = sd::check_scale(p.scale); !s) return s;
  if (status s = sd::check_kernel(p.pool_kernel, "pool_kernel"); !s) return s;
  if (status s = sd::check_queries(c, out); !s) return s;
  carver from(ws);
  const auto m = sd::attention_mass_memory::carve(from, b, c);
  if (status s = from.check(); !s) return s;

  const view<float, 2> mass(m.mass, c.kv_heads(), c.tokens());
  sd::column_mass(b, c, {c.queries, p.scale}, m.pass, mass);
  parallel_for(b, c.tokens() > 0 ? c.kv_heads() : 0, [&](index_t h, int) {
    sd::average_pool(mass.row(h), c.tokens(), p.pool_kernel, m.pool + h * c.tokens());
  });
  const detail::token_chunks chunks{c.tokens(), c.kv_heads(), sd::mass_chunk};
  parallel_for(b, chunks.count(), [&](index_t i, int worker) {
    const detail::token_chunk chunk = chunks.at(i);
    for (index_t t = chunk.first; t < chunk.last; ++t) {
      const float* const value =
          detail::float_row(c.values.row(t, chunk.head), c.d_v(), m.pass.buffers.value(worker));
      float* const scores = out.row(chunk.head, t);
      for (index_t g = 0; g < out.extent[2]; ++g)
        scores[g] = mass(chunk.head, t) * row_norm(value + g * width, width);
    }
  });
  return {};
}

}  // namespace rota::cpu

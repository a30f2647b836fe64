#pragma once

#include <rota/cpu/score/attention_mass.hpp>
#include <rota/score/attention_mass_wo.hpp>
#include <rota/score/wo_norm.hpp>

// Group scorers that measure slices behind the output projection. Errors besides score_groups()'s
// own: "gram" with bad_shape, null_view and bad_stride.

namespace rota::cpu {

template <element E, class... Parts>
std::size_t score_whole_groups_workspace_bytes(const backend& b, wo_norm, const wo_norm::params&,
                                               const context<E, Parts...>& c, int) {
  carver count;
  detail::row_buffers::carve(count, b, c);
  return count.bytes();
}

template <element E, class... Parts>
status score_whole_groups(const backend& b, wo_norm, const wo_norm::params&,
                          const context<E, Parts...>& c, int width, const view<float, 3>& out,
                          workspace ws) {
  namespace sd = score_detail;
  if (status s = check_gram(c, out.extent[2], width); !s) return s;
  carver from(ws);
  const detail::row_buffers rows = detail::row_buffers::carve(from, b, c);
  if (status s = from.check(); !s) return s;
  sd::for_slices(b, c, rows, width, out, [&](index_t h, index_t, index_t s, const float* slice) {
    return projected_norm(slice, c.gram.row(h, s, 0), width);
  });
  return {};
}

template <element E, class... Parts>
std::size_t score_whole_groups_workspace_bytes(const backend& b, attention_mass_wo,
                                               const attention_mass_wo::params&,
                                               const context<E, Parts...>& c, int) {
  carver count;
  score_detail::attention_mass_memory::carve(count, b, c);
  return count.bytes();
}

template <element E, class... Parts>
status score_whole_groups(const backend& b, attention_mass_wo, const attention_mass_wo::params& p,
                          const context<E, Parts...>& c, int width, const view<float, 3>& out,
                          workspace ws) {
  namespace sd = score_detail;
  if (status s = sd::check_attention_mass(p, c, out); !s) return s;
  if (status s = check_gram(c, out.extent[2], width); !s) return s;
  carver from(ws);
  const auto m = sd::attention_mass_memory::carve(from, b, c);
  if (status s = from.check(); !s) return s;
  sd::pooled_mass(b, p, c, m);
  sd::for_slices(
      b, c, m.pass.buffers, width, out, [&](index_t h, index_t i, index_t s, const float* slice) {
        return m.mass[h * c.tokens() + i] * projected_norm(slice, c.gram.row(h, s, 0), width);
      });
  return {};
}

}  // namespace rota::cpu

#pragma once

#include <cmath>

#include <rota/policy/context.hpp>

// What the scorers that sum attention have in common.

namespace rota {

/// The queries whose attention is summed: row i of `queries` [rows, q_heads, d_k] belongs to token
/// tokens - rows + i.
struct mass_queries {
  view<const float, 3> queries;
  float scale = 0;  ///< 0: 1 / sqrt(d_k)

  /// The last `count` of a context's window queries.
  static mass_queries last_of(const view<const float, 3>& all, index_t count, float scale) {
    mass_queries m{all, scale};
    const index_t dropped = all.extent[0] > count ? all.extent[0] - count : 0;
    m.queries.extent[0] -= dropped;
    if (all.data != nullptr) m.queries.data += dropped * all.stride[0];
    return m;
  }
  float logit_scale() const {
    return scale > 0 ? scale : 1 / std::sqrt(static_cast<float>(queries.extent[2]));
  }
};

inline status check_scale(float scale) {
  if (!(scale >= 0 && scale <= 1e30f)) return {errc::bad_parameter, "scale"};
  return {};
}

inline status check_kernel(index_t kernel, const char* name) {
  if (kernel < 1 || kernel % 2 == 0 || kernel > INT32_MAX) return {errc::bad_parameter, name};
  return {};
}

/// Checks the window queries of a context, whatever is then made of them.
template <class Context>
status check_mass_queries(const Context& c) {
  if (status s = check_view(c.queries, "queries"); !s) return s;
  if (c.queries.extent[2] != c.d_k() || c.queries.extent[1] < 1 || c.queries.extent[0] > c.tokens())
    return {errc::bad_shape, "queries"};
  if (c.queries.extent[1] % c.kv_heads() != 0) return {errc::heads_not_divisible, "queries"};
  return {};
}

}  // namespace rota

#pragma once

#include <cmath>

#include <rota/policy/context.hpp>
#include <rota/policy/visibility.hpp>

// What the scorers that sum attention have in common.

namespace rota {

/// The queries whose attention is summed: [rows, q_heads, d_k], and their positions; null: row i
/// belongs to token tokens - rows + i.
template <element Q>
struct mass_queries {
  view<const Q, 3> queries;
  view<const position_t, 1> positions;
  float scale = 0;  ///< 0: 1 / sqrt(d_k)

  mass_queries(const window_queries_of<Q>& all, float logit_scale)
      : queries(all.queries), positions(all.query_positions), scale(logit_scale) {}

  /// The last `count` of a context's window queries.
  static mass_queries last_of(const window_queries_of<Q>& all, index_t count, float scale) {
    mass_queries m(all, scale);
    const index_t dropped = all.queries.extent[0] > count ? all.queries.extent[0] - count : 0;
    m.queries.extent[0] -= dropped;
    if (m.queries.data != nullptr) m.queries.data += dropped * m.queries.stride[0];
    if (m.positions.data == nullptr) return m;
    m.positions.extent[0] -= dropped;
    m.positions.data += dropped * m.positions.stride[0];
    return m;
  }
  index_t rows() const { return queries.extent[0]; }
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

/// Checks the window queries of a context, whatever is then made of them; what positions there are
/// is not looked at.
template <class Context>
status check_mass_queries(const Context& c) {
  if (status s = check_view(c.queries, "queries"); !s) return s;
  if (c.queries.extent[2] != c.d_k() || c.queries.extent[1] < 1)
    return {errc::bad_shape, "queries"};
  if (c.queries.extent[1] % c.kv_heads() != 0) return {errc::heads_not_divisible, "queries"};
  if (c.query_positions.data == nullptr) {
    if (c.queries.extent[0] > c.tokens()) return {errc::bad_shape, "queries"};
    return {};
  }
  if (status s = check_view(c.query_positions, "query_positions"); !s) return s;
  if (c.query_positions.extent[0] != c.queries.extent[0])
    return {errc::bad_shape, "query_positions"};
  return {};
}

}  // namespace rota

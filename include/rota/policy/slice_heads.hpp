#pragma once

#include <rota/policy/context.hpp>

namespace rota {

// The part of a context that belongs to one kv head: what a scorer needs when the heads of a
// re-routed store hold different tokens and are scored one by one. A part of your own needs its
// own overload beside it.

/// Whether a part can be cut so.
template <class Part>
status check_heads(const Part&, index_t) {
  return {};
}
template <element Q>
status check_heads(const window_queries_of<Q>& part, index_t kv_heads) {
  if (part.queries.extent[1] % kv_heads != 0) return {errc::heads_not_divisible, "queries"};
  return {};
}
inline status check_heads(const query_moments& part, index_t kv_heads) {
  if (part.mean.extent[0] % kv_heads != 0) return {errc::heads_not_divisible, "mean"};
  if (part.covariance.data != nullptr && part.covariance.extent[0] != part.mean.extent[0])
    return {errc::bad_shape, "covariance"};
  return {};
}
template <element E, class... Parts>
status check_heads([[maybe_unused]] const context<E, Parts...>& c,
                   [[maybe_unused]] index_t kv_heads) {
  status s;
  ((s.ok() ? void(s = check_heads(static_cast<const Parts&>(c), kv_heads)) : void()), ...);
  return s;
}

template <element Q>
void slice_heads(const window_queries_of<Q>& all, index_t h, index_t kv_heads,
                 window_queries_of<Q>& one) {
  one = all;
  const index_t group = all.queries.extent[1] / kv_heads;
  one.queries.extent[1] = group;
  if (all.queries.data != nullptr)
    one.queries.data = &all.queries.data[h * group * all.queries.stride[1]];
}

/// How many window queries a context has whose positions are not given.
template <class Context>
index_t queries_without_positions([[maybe_unused]] const Context& c) {
  if constexpr (requires { c.query_positions; })
    if (c.query_positions.data == nullptr && c.queries.extent[0] > 0) return c.queries.extent[0];
  return 0;
}

inline void slice_heads(const query_moments& all, index_t h, index_t kv_heads, query_moments& one) {
  one = all;
  const index_t group = all.mean.extent[0] / kv_heads;
  one.mean.extent[0] = group;
  one.covariance.extent[0] = group;
  if (all.mean.data != nullptr) one.mean.data = &all.mean.data[h * group * all.mean.stride[0]];
  if (all.covariance.data != nullptr)
    one.covariance.data = &all.covariance.data[h * group * all.covariance.stride[0]];
}

inline void slice_heads(const rope_frequencies& all, index_t, index_t, rope_frequencies& one) {
  one = all;
}

}  // namespace rota

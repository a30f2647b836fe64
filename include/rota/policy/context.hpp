#pragma once

#include <cstdint>
#include <type_traits>

#include <rota/core/rope_pairing.hpp>
#include <rota/core/types.hpp>

namespace rota {

// Parts of a context that some scorers need beyond keys and values. A scorer names what it needs
// (`using needs = rota::needs<...>`); a call that does not pass it does not compile.

/// The last queries of the context, after RoPE, in any element type that attention takes. A row
/// sees the tokens up to its own position, as far back as the context's sliding window reaches.
template <element Q>
struct window_queries_of {
  view<const Q, 3> queries;  ///< [queries, q_heads, d_k]
  /// [queries], ascending: the rows' positions. A null view means the last tokens' of the context;
  /// when a store is routed again, the last positions before its next one.
  view<const position_t, 1> query_positions;
};
using window_queries = window_queries_of<float>;

/// Mean and covariance of the context's queries before RoPE, per query head (Expected Attention).
struct query_moments {
  view<const float, 2> mean;        ///< [q_heads, d_k]
  view<const float, 3> covariance;  ///< [q_heads, d_k, d_k]
};

/// How the model rotates: pair i of channels turns by position * inverse_frequencies[i] and is
/// multiplied by `scale` (1 for all but YaRN-like schemes).
struct rope_frequencies {
  view<const float, 1> inverse_frequencies;  ///< [rotary_channels / 2]
  float scale = 1.0f;
  rope_pairing pairing = rope_pairing::halves;
  /// The first channels of a key, which are rotated (partial rotary); the others stay as they are.
  /// 0 means all d_k.
  index_t rotary_channels = 0;
};

template <class... Parts>
struct needs {};

/// What every context has.
template <element E>
struct context_views {
  using element_type = E;

  view<const E, 3> keys;    ///< [tokens, kv_heads, d_k], after RoPE
  view<const E, 3> values;  ///< [tokens, kv_heads, d_v]
  /// [tokens], ascending. A null view means 0, 1, 2, ...
  view<const position_t, 1> positions;
  /// [kv_heads, tokens]: the groups that exist at all (a re-routed store has lost some).
  /// A null view means all.
  view<const group_mask, 2> available;
  /// For backends on a device: where in its memory the number of tokens lies, at most the views'.
  /// Null: as many as the views have.
  const std::int32_t* device_tokens = nullptr;
  /// What attend_params::sliding_window will be: a query sees so many positions, its own included.
  /// 0 means no window. Tokens that no later query sees are not selected.
  index_t sliding_window = 0;

  index_t tokens() const { return keys.extent[0]; }
  index_t kv_heads() const { return keys.extent[1]; }
  index_t d_k() const { return keys.extent[2]; }
  index_t d_v() const { return values.extent[2]; }
  position_t position(index_t i) const {
    return positions.data ? positions(i) : static_cast<position_t>(i);
  }
};

/// What one layer of one sequence offers to the scorers. Parts are optional extras:
/// `context<bf16, window_queries> c;`.
template <element E, class... Parts>
struct context : context_views<E>, Parts... {};

namespace detail {

template <class Context, class Part>
struct has_part : std::is_base_of<Part, Context> {};
/// Window queries of any element type will do.
template <class Context>
struct has_part<Context, window_queries> {
  template <element Q>
  static std::true_type find(const window_queries_of<Q>*);
  static std::false_type find(...);
  static constexpr bool value = decltype(find(static_cast<const Context*>(nullptr)))::value;
};

template <class Context, class Needs>
struct has_parts;
template <class Context, class... Parts>
struct has_parts<Context, needs<Parts...>>
    : std::bool_constant<(has_part<Context, Parts>::value && ...)> {};

template <class P>
struct needs_of {
  using type = needs<>;
};
template <class P>
requires requires {
  typename P::needs;
}
struct needs_of<P> {
  using type = typename P::needs;
};

}  // namespace detail

/// Whether a context carries all that a policy says it needs.
template <class Context, class Policy>
concept provides = detail::has_parts<Context, typename detail::needs_of<Policy>::type>::value;

/// Checks the views that every operator reads.
template <element E, class... Parts>
status check_context(const context<E, Parts...>& c) {
  if (status s = check_view(c.keys, "keys"); !s) return s;
  if (status s = check_view(c.values, "values"); !s) return s;
  if (c.keys.extent[1] < 1 || c.keys.extent[2] < 1) return {errc::bad_shape, "keys"};
  if (c.values.extent[0] != c.keys.extent[0] || c.values.extent[1] != c.keys.extent[1] ||
      c.values.extent[2] < 1)
    return {errc::bad_shape, "values"};
  if (c.tokens() > INT32_MAX) return {errc::bad_shape, "keys"};
  if (c.sliding_window < 0) return {errc::bad_count, "sliding_window"};
  if (c.available.data != nullptr) {
    if (status s = check_view(c.available, "available"); !s) return s;
    if (c.available.extent[0] != c.kv_heads() || c.available.extent[1] != c.tokens())
      return {errc::bad_shape, "available"};
  }
  if (c.positions.data == nullptr) return {};
  if (status s = check_view(c.positions, "positions"); !s) return s;
  if (c.positions.extent[0] != c.tokens()) return {errc::bad_shape, "positions"};
  for (index_t i = 0; i < c.tokens(); ++i)
    if (c.positions(i) < 0 || (i > 0 && c.positions(i) <= c.positions(i - 1)))
      return {errc::bad_position, "positions"};
  return {};
}

}  // namespace rota

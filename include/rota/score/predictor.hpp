#pragma once

#include <rota/policy/concepts.hpp>

// A fitted predictor of relevance (docs/predictor.md): from the hidden states at one layer, the
// split, it predicts how much each (kv head, token, group) of a later layer will matter. For kv
// head h, token j, group s, with x_j the token's hidden state:
//   blind        r(h, j, s) = linear_{h, s} . x_j + bias_{h, s}
//   conditioned  r(h, j, s) = the same + log sum over query tokens q of
//                             exp(sum_k mix_{h, k} (token_factor x_j)_k (query_factor x_q)_k)
// r is a logarithm: the fit regresses the log of attention mass times slice norm. The second term
// is a small attention of its own, of rank K, from the split layer's states. The paper leaves the
// form open; this one is ours (docs/predictor.md).

namespace rota {

/// Hidden states at the split layer, one row a token of the context.
struct split_states {
  view<const float, 2> hidden;  ///< [tokens, hidden]
};

/// Hidden states at the split layer of the tokens that ask: the window, kept whole.
struct query_states {
  view<const float, 2> query_hidden;  ///< [queries, hidden], at least 1
};

/// Weights of the query-blind term for this layer.
struct linear_relevance {
  view<const float, 2> linear;  ///< [kv_heads * S, hidden], row h * S + s
  view<const float, 1> bias;    ///< [kv_heads * S]
};

/// Weights of the query-conditioned term for this layer, of rank K.
struct bilinear_relevance {
  view<const float, 2> token_factor;  ///< [K, hidden]
  view<const float, 2> query_factor;  ///< [K, hidden]
  view<const float, 2> mix;           ///< [kv_heads, K]
};

/// The two forms of a predictor.
struct query_blind {
  using needs = rota::needs<split_states, linear_relevance>;
  static constexpr bool conditioned = false;
};
struct query_conditioned {
  using needs = rota::needs<split_states, linear_relevance, query_states, bilinear_relevance>;
  static constexpr bool conditioned = true;
};

template <class F>
concept predictor_form = requires {
  typename F::needs;
  { F::conditioned } -> std::convertible_to<bool>;
};

/// Group scorer: the predicted log relevance r(h, j, s).
template <predictor_form Form = query_conditioned>
struct predictor {
  using policy_kind = group_scorer_tag;
  using form = whole_head;
  using relevance_form = Form;
  using needs = typename Form::needs;
  struct params {};
  /// The form alone: weights are the context's, so whoever saves a store adds what tells them
  /// apart.
  static void describe(const params&, fingerprint& f) { f.add("predictor").add(Form::conditioned); }
};

/// Token scorer: the predicted log relevance of the whole token, log sum over s of exp r(h, j, s).
template <predictor_form Form = query_conditioned>
struct token_predictor {
  using policy_kind = token_scorer_tag;
  using form = whole_head;
  using relevance_form = Form;
  using needs = typename Form::needs;
  struct params {};
  static void describe(const params&, fingerprint& f) {
    f.add("token_predictor").add(Form::conditioned);
  }
};

template <class F>
void for_each_range(const split_states& part, F&& f) {
  f(range_of(part.hidden));
}
template <class F>
void for_each_range(const query_states& part, F&& f) {
  f(range_of(part.query_hidden));
}
template <class F>
void for_each_range(const linear_relevance& part, F&& f) {
  f(range_of(part.linear));
  f(range_of(part.bias));
}
template <class F>
void for_each_range(const bilinear_relevance& part, F&& f) {
  f(range_of(part.token_factor));
  f(range_of(part.query_factor));
  f(range_of(part.mix));
}

/// Checks what a predictor of this form reads of a context whose tokens have `groups` groups.
template <predictor_form Form, class Context>
status check_predictor(const Context& c, index_t groups) {
  if (status s = check_view(c.hidden, "hidden"); !s) return s;
  if (status s = check_view(c.linear, "linear"); !s) return s;
  if (status s = check_view(c.bias, "bias"); !s) return s;
  const index_t width = c.hidden.extent[1], outputs = c.kv_heads() * groups;
  if (c.hidden.extent[0] != c.tokens() || width < 1) return {errc::bad_shape, "hidden"};
  if (groups < 1 || groups > max_groups || c.linear.extent[0] != outputs ||
      c.linear.extent[1] != width)
    return {errc::bad_shape, "linear"};
  if (c.bias.extent[0] != outputs) return {errc::bad_shape, "bias"};
  if constexpr (Form::conditioned) {
    if (status s = check_view(c.query_hidden, "query_hidden"); !s) return s;
    if (status s = check_view(c.token_factor, "token_factor"); !s) return s;
    if (status s = check_view(c.query_factor, "query_factor"); !s) return s;
    if (status s = check_view(c.mix, "mix"); !s) return s;
    if (c.query_hidden.extent[0] < 1 || c.query_hidden.extent[1] != width)
      return {errc::bad_shape, "query_hidden"};
    const index_t rank = c.token_factor.extent[0];
    if (rank < 1 || c.token_factor.extent[1] != width) return {errc::bad_shape, "token_factor"};
    if (c.query_factor.extent[0] != rank || c.query_factor.extent[1] != width)
      return {errc::bad_shape, "query_factor"};
    if (c.mix.extent[0] != c.kv_heads() || c.mix.extent[1] != rank) return {errc::bad_shape, "mix"};
  }
  return {};
}

}  // namespace rota

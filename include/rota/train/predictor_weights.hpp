#pragma once

#include <span>

#include <rota/score/predictor.hpp>

namespace rota::train {

/// What a predictor of several layers is made of. rank 0: query-blind.
struct predictor_shape {
  index_t layers = 0;  ///< later layers, those that are predicted
  index_t kv_heads = 0;
  index_t groups = 0;  ///< S
  index_t hidden = 0;
  index_t rank = 0;

  index_t outputs() const { return kv_heads * groups; }
  /// Numbers of one layer, in the order linear, bias, token_factor, query_factor, mix.
  index_t layer_parameters() const {
    return outputs() * (hidden + 1) + rank * (2 * hidden + kv_heads);
  }
  index_t parameters() const { return layers * layer_parameters(); }
};

/// The weights of one layer inside the parameters of all: views for whoever reads or writes them.
template <class T>
struct predictor_weights {
  view<T, 2> linear;        ///< [kv_heads * S, hidden]
  view<T, 1> bias;          ///< [kv_heads * S]
  view<T, 2> token_factor;  ///< [rank, hidden]
  view<T, 2> query_factor;  ///< [rank, hidden]
  view<T, 2> mix;           ///< [kv_heads, rank]

  /// `parameters`: predictor_shape::parameters() numbers.
  predictor_weights(const predictor_shape& s, index_t layer, T* parameters) {
    T* at = parameters + layer * s.layer_parameters();
    const auto take = [&](index_t rows, index_t columns) {
      const view<T, 2> v(at, rows, columns);
      at += rows * columns;
      return v;
    };
    linear = take(s.outputs(), s.hidden);
    bias = view<T, 1>(at, s.outputs());
    at += s.outputs();
    token_factor = take(s.rank, s.hidden);
    query_factor = take(s.rank, s.hidden);
    mix = take(s.kv_heads, s.rank);
  }
};

/// What a predictor learns from: one text, cut where a query would be asked.
struct calibration_sample {
  index_t tokens = 0;            ///< n, without the protected ones: those need no prediction
  index_t queries = 0;           ///< Q
  std::span<const bf16> hidden;  ///< [n, hidden] at the split layer
  std::span<const bf16> query;   ///< [Q, hidden] of the query tokens
  std::span<const bf16> target;  ///< [layers, n, kv_heads * S]: relevance, not negative
};

/// bad_shape or bad_parameter (values that are not finite, a negative target).
inline status check_sample(const predictor_shape& shape, const calibration_sample& s) {
  const auto has = [](std::span<const bf16> x, index_t n) {
    return n >= 0 && x.size() == static_cast<std::size_t>(n);
  };
  if (s.tokens < 1 || !has(s.hidden, s.tokens * shape.hidden)) return {errc::bad_shape, "hidden"};
  if (s.queries < 1 || !has(s.query, s.queries * shape.hidden)) return {errc::bad_shape, "query"};
  if (!has(s.target, shape.layers * s.tokens * shape.outputs())) return {errc::bad_shape, "target"};
  const auto finite = [](std::span<const bf16> x, float least) {
    for (const bf16 v : x)
      if (!(static_cast<float>(v) >= least && static_cast<float>(v) <= 3.0e38f)) return false;
    return true;
  };
  if (!finite(s.hidden, -3.0e38f)) return {errc::bad_parameter, "hidden"};
  if (!finite(s.query, -3.0e38f)) return {errc::bad_parameter, "query"};
  if (!finite(s.target, 0)) return {errc::bad_parameter, "target"};
  return {};
}

}  // namespace rota::train

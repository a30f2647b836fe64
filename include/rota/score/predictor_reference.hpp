#pragma once

#include <cmath>

#include <rota/score/predictor.hpp>
#include <rota/score/reference.hpp>

// The predictor written down in double, as its formula reads.

namespace rota::reference {

/// log sum over the query tokens of exp of their bilinear form with token j.
template <class Context>
double query_relevance(const Context& c, index_t h, index_t j) {
  const auto project = [](const auto& factor, index_t k, const auto& states, index_t row) {
    double sum = 0;
    for (index_t i = 0; i < factor.extent[1]; ++i)
      sum += value_at(factor, k, i) * value_at(states, row, i);
    return sum;
  };
  double total = 0;
  for (index_t q = 0; q < c.query_hidden.extent[0]; ++q) {
    double logit = 0;
    for (index_t k = 0; k < c.token_factor.extent[0]; ++k)
      logit += value_at(c.mix, h, k) * project(c.token_factor, k, c.hidden, j) *
               project(c.query_factor, k, c.query_hidden, q);
    total += std::exp(logit);
  }
  return std::log(total);
}

template <predictor_form Form, element E, class... Parts>
scores score_groups(predictor<Form>, const typename predictor<Form>::params&,
                    const context<E, Parts...>& c, int width) {
  const index_t groups = c.d_v() / width;
  scores out;
  for (index_t h = 0; h < c.kv_heads(); ++h)
    for (index_t j = 0; j < c.tokens(); ++j) {
      double shared = 0;
      if constexpr (Form::conditioned) shared = query_relevance(c, h, j);
      for (index_t s = 0; s < groups; ++s) {
        double sum = shared + value_at(c.bias, h * groups + s);
        for (index_t i = 0; i < c.hidden.extent[1]; ++i)
          sum += value_at(c.linear, h * groups + s, i) * value_at(c.hidden, j, i);
        out.push_back(sum);
      }
    }
  return out;
}

template <predictor_form Form, element E, class... Parts>
scores score_tokens(token_predictor<Form>, const typename token_predictor<Form>::params&,
                    const context<E, Parts...>& c) {
  const index_t groups = c.linear.extent[0] / c.kv_heads();
  const scores of_groups =
      score_groups(predictor<Form>{}, {}, c, static_cast<int>(c.d_v() / groups));
  scores out;
  for (std::size_t at = 0; at < of_groups.size(); at += static_cast<std::size_t>(groups)) {
    double total = 0;
    for (index_t s = 0; s < groups; ++s)
      total += std::exp(of_groups[at + static_cast<std::size_t>(s)]);
    out.push_back(std::log(total));
  }
  return out;
}

}  // namespace rota::reference

#pragma once

#include <algorithm>
#include <limits>
#include <numeric>

#include <rota/score/attention_mass.hpp>
#include <rota/score/attention_mass_wo.hpp>
#include <rota/score/critical.hpp>
#include <rota/score/reference.hpp>
#include <rota/score/wo_norm.hpp>

// The scorers that look behind the output projection, written down in double from W_O itself.

namespace rota::reference {

/// Root mean square, over the query heads of kv head h, of |W_O slice| for a slice of token i.
template <class Context>
double projected_norm(const Context& c, const view<const float, 3>& weights, index_t h, index_t i,
                      index_t first, index_t width) {
  const index_t group = weights.extent[1] / c.kv_heads();
  double squares = 0;
  for (index_t a = h * group; a < (h + 1) * group; ++a)
    for (index_t r = 0; r < weights.extent[0]; ++r) {
      double sum = 0;
      for (index_t k = first; k < first + width; ++k)
        sum += value_at(weights, r, a, k) * value_at(c.values, i, h, k);
      squares += sum * sum;
    }
  return std::sqrt(squares / static_cast<double>(group));
}

/// wo_norm, from W_O [hidden, q_heads, d_v] instead of its Gram matrices.
template <element E, class... Parts>
scores score_groups(wo_norm, const view<const float, 3>& weights, const context<E, Parts...>& c,
                    int width) {
  scores out;
  for (index_t h = 0; h < c.kv_heads(); ++h)
    for (index_t i = 0; i < c.tokens(); ++i)
      for (index_t first = 0; first < c.d_v(); first += width)
        out.push_back(projected_norm(c, weights, h, i, first, width));
  return out;
}

/// attention_mass_wo: attention_mass with its slice norms exchanged.
template <element E, class... Parts>
scores score_groups(attention_mass_wo, const attention_mass_wo::params& p,
                    const view<const float, 3>& weights, const context<E, Parts...>& c, int width) {
  scores out = score_groups(attention_mass{}, p, c, width);
  std::size_t at = 0;
  for (index_t h = 0; h < c.kv_heads(); ++h)
    for (index_t i = 0; i < c.tokens(); ++i)
      for (index_t first = 0; first < c.d_v(); first += width, ++at)
        out[at] *=
            projected_norm(c, weights, h, i, first, width) / norm_of(c.values, i, h, first, width);
  return out;
}

/// critical over base scores [kv_heads, tokens].
template <class Base, element E, class... Parts>
scores score_tokens(critical<Base>, const typename critical<Base>::params& p, const scores& base,
                    const context<E, Parts...>& c) {
  const index_t n = c.tokens(), group = c.weights.extent[1] / c.kv_heads();
  scores out;
  for (index_t h = 0; h < c.kv_heads(); ++h) {
    const double* const mine = base.data() + h * n;
    std::vector<index_t> order(static_cast<std::size_t>(n));
    std::iota(order.begin(), order.end(), index_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [mine](index_t a, index_t b) { return mine[a] > mine[b]; });
    std::vector<double> x;
    for (index_t i = 0; i < n; ++i) {
      double norms = 0;
      for (index_t a = h * group; a < (h + 1) * group; ++a)
        for (index_t r = 0; r < c.weights.extent[0]; ++r) {
          double sum = 0;
          for (index_t k = 0; k < c.d_v(); ++k)
            sum += value_at(c.weights, r, a, k) * value_at(c.values, i, h, k);
          norms += std::fabs(sum);
        }
      x.push_back((mine[i] + double{p.epsilon}) * norms / static_cast<double>(group));
    }
    index_t best = std::max<index_t>(
        1, static_cast<index_t>(std::floor(p.first_share * static_cast<double>(p.keep))));
    if (p.keep == 0 || p.first_share == 0) best = 0;
    for (index_t i = 0; i < std::min(best, n); ++i)
      x[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])] =
          static_cast<double>(std::numeric_limits<float>::max());
    out.insert(out.end(), x.begin(), x.end());
  }
  return out;
}

}  // namespace rota::reference

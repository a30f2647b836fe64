#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <rota/policy/context.hpp>
#include <rota/score/attention_mass.hpp>
#include <rota/score/expected_attention.hpp>
#include <rota/score/key_norm.hpp>
#include <rota/score/value_norm.hpp>
#include <rota/score/window_sink.hpp>

// The stock scorers written down in double, as their formulas read. Slow on purpose; they allocate
// and expect a valid context.

namespace rota::reference {

/// [kv_heads, tokens], or [kv_heads, tokens, groups].
using scores = std::vector<double>;

template <class View, class... At>
double value_at(const View& v, At... at) {
  return static_cast<double>(static_cast<float>(v(at...)));
}

/// Norm of elements first .. first + width - 1 of a token's row.
template <class View>
double norm_of(const View& rows, index_t i, index_t h, index_t first, index_t width) {
  double sum = 0;
  for (index_t k = first; k < first + width; ++k) sum += std::pow(value_at(rows, i, h, k), 2);
  return std::sqrt(sum);
}

template <element E, class... Parts>
scores score_tokens(key_norm, const key_norm::params&, const context<E, Parts...>& c) {
  scores out;
  for (index_t h = 0; h < c.kv_heads(); ++h)
    for (index_t i = 0; i < c.tokens(); ++i) out.push_back(-norm_of(c.keys, i, h, 0, c.d_k()));
  return out;
}

template <element E, class... Parts>
scores score_tokens(window_sink, const window_sink::params&, const context<E, Parts...>& c) {
  scores out;
  for (index_t h = 0; h < c.kv_heads(); ++h)
    for (index_t i = 0; i < c.tokens(); ++i)
      out.push_back(-static_cast<double>(c.tokens() - 1 - i));
  return out;
}

template <element E, class... Parts>
scores score_groups(value_norm, const value_norm::params&, const context<E, Parts...>& c,
                    int width) {
  scores out;
  for (index_t h = 0; h < c.kv_heads(); ++h)
    for (index_t i = 0; i < c.tokens(); ++i)
      for (index_t first = 0; first < c.d_v(); first += width)
        out.push_back(norm_of(c.values, i, h, first, width));
  return out;
}

/// In place: z[first ..] become their softmax. std::max is no use with NaN, so the first stays.
inline void softmax(std::vector<double>& z, std::size_t first) {
  double top = -std::numeric_limits<double>::infinity(), sum = 0;
  for (std::size_t i = first; i < z.size(); ++i) top = std::max(top, z[i]);
  for (std::size_t i = first; i < z.size(); ++i) sum += std::exp(z[i] - top);
  for (std::size_t i = first; i < z.size(); ++i) z[i] = std::exp(z[i] - top) / sum;
}

/// Rbar [d, d], summed position by position.
inline std::vector<double> mean_rope(const rope_frequencies& rope, index_t d, index_t first,
                                     index_t count) {
  std::vector<double> matrix(static_cast<std::size_t>(d * d));
  const auto at = [&](index_t i, index_t j) -> double& {
    return matrix[static_cast<std::size_t>(i * d + j)];
  };
  const index_t pairs = rope.inverse_frequencies.extent[0];
  for (index_t k = 2 * pairs; k < d; ++k) at(k, k) = 1;
  for (index_t i = 0; i < pairs; ++i)
    for (index_t p = first; p < first + count; ++p) {
      const bool halves = rope.pairing == rope_pairing::halves;
      const index_t a = halves ? i : 2 * i, b = halves ? i + pairs : 2 * i + 1;
      const double angle = static_cast<double>(p) * double{rope.inverse_frequencies(i)};
      const double part = double{rope.scale} / static_cast<double>(count);
      at(a, a) += std::cos(angle) * part;
      at(b, b) += std::cos(angle) * part;
      at(a, b) -= std::sin(angle) * part;
      at(b, a) += std::sin(angle) * part;
    }
  return matrix;
}

/// x' A y for rows of d numbers.
inline double form(const std::vector<double>& x, const std::vector<double>& a,
                   const std::vector<double>& y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    for (std::size_t j = 0; j < y.size(); ++j) sum += x[i] * a[i * y.size() + j] * y[j];
  return sum;
}

/// Logits of one query head over all tokens: instead of rotating the moments forward, the keys are
/// rotated back, k' Rbar mu = (Rbar' k)' mu.
template <element E, class... Parts>
std::vector<double> expected_logits(const expected_attention::params& p,
                                    const context<E, Parts...>& c, index_t q, index_t h) {
  const index_t d = c.d_k(), n = c.tokens();
  const std::vector<double> rope =
      mean_rope(c, d, c.position(n - 1) + index_t{1}, p.future_positions);
  std::vector<double> z, sigma;
  for (index_t i = 0; p.use_covariance && i < d; ++i)
    for (index_t j = 0; j < d; ++j) sigma.push_back(value_at(c.covariance, q, i, j));
  for (index_t t = 0; t < n; ++t) {
    std::vector<double> key(static_cast<std::size_t>(d));
    double dot = 0;
    for (index_t i = 0; i < d; ++i) {
      double& x = key[static_cast<std::size_t>(i)];
      for (index_t j = 0; j < d; ++j)
        x += rope[static_cast<std::size_t>(j * d + i)] * value_at(c.keys, t, h, j);
      dot += x * value_at(c.mean, q, i);
    }
    z.push_back(dot / std::sqrt(static_cast<double>(d)));
    if (p.use_covariance) z.back() += form(key, sigma, key) / (2 * static_cast<double>(d));
  }
  return z;
}

template <element E, class... Parts>
scores score_tokens(expected_attention, const expected_attention::params& p,
                    const context<E, Parts...>& c) {
  const index_t n = c.tokens(), group = n > 0 ? c.mean.extent[0] / c.kv_heads() : 0;
  const index_t sinks = std::min(p.sinks, n);
  index_t outside = sinks;  // sinks, and what no later query sees
  while (c.sliding_window > 0 && outside < n &&
         index_t{c.position(n - 1)} + 1 - c.position(outside) >= c.sliding_window)
    ++outside;
  scores out;
  for (index_t h = 0; h < (n > 0 ? c.kv_heads() : 0); ++h) {
    std::vector<double> mass(static_cast<std::size_t>(n));
    for (index_t q = h * group; q < (h + 1) * group; ++q) {
      std::vector<double> z = expected_logits(p, c, q, h);
      softmax(z, static_cast<std::size_t>(outside));
      for (std::size_t i = static_cast<std::size_t>(outside); i < z.size(); ++i)
        mass[i] += z[i] / static_cast<double>(group);
    }
    double top = 0;
    for (index_t i = outside; i < n; ++i) {
      double& s = mass[static_cast<std::size_t>(i)];
      if (p.use_value_norm) s = (s + double{p.epsilon}) * norm_of(c.values, i, h, 0, c.d_v());
      top = std::max(top, s);
    }
    std::fill_n(mass.begin(), sinks, top);
    out.insert(out.end(), mass.begin(), mass.end());
  }
  return out;
}

/// Position of a window query; the context's last tokens' where the queries have none of their own.
template <element E, class... Parts>
index_t query_position(const context<E, Parts...>& c, index_t w) {
  if (c.query_positions.data != nullptr) return c.query_positions(w);
  return c.position(c.tokens() - c.queries.extent[0] + w);
}

/// Whether window query w sees token i.
template <element E, class... Parts>
bool is_seen(const context<E, Parts...>& c, index_t w, index_t i) {
  const index_t back = query_position(c, w) - c.position(i);
  return back >= 0 && (c.sliding_window == 0 || back < c.sliding_window);
}

/// [kv_heads, tokens]: attention that the last `used` window queries give each token, summed over
/// them and over the query heads of the kv head.
template <element E, class... Parts>
scores column_mass(const context<E, Parts...>& c, index_t used, float wanted_scale) {
  const index_t n = c.tokens(), held = c.queries.extent[0];
  const index_t group = c.queries.extent[1] / c.kv_heads();
  const double scale =
      wanted_scale > 0 ? double{wanted_scale} : 1 / std::sqrt(static_cast<double>(c.d_k()));
  scores out;
  for (index_t h = 0; h < c.kv_heads(); ++h) {
    std::vector<double> mass(static_cast<std::size_t>(n));
    for (index_t w = held - used; w < held; ++w)
      for (index_t q = h * group; q < (h + 1) * group; ++q) {
        std::vector<double> z;
        for (index_t i = 0; i < n; ++i) {
          if (!is_seen(c, w, i)) continue;
          double dot = 0;
          for (index_t k = 0; k < c.d_k(); ++k)
            dot += value_at(c.queries, w, q, k) * value_at(c.keys, i, h, k);
          z.push_back(dot * scale);
        }
        softmax(z, 0);
        std::size_t next = 0;
        for (index_t i = 0; i < n; ++i)
          if (is_seen(c, w, i)) mass[static_cast<std::size_t>(i)] += z[next++];
      }
    out.insert(out.end(), mass.begin(), mass.end());
  }
  return out;
}

template <element E, class... Parts>
scores score_groups(attention_mass, const attention_mass::params& p, const context<E, Parts...>& c,
                    int width) {
  const index_t n = c.tokens();
  const scores mass = column_mass(c, c.queries.extent[0], p.scale);
  scores out;
  for (index_t h = 0; h < c.kv_heads(); ++h)
    for (index_t i = 0; i < n; ++i) {
      double pooled = 0;
      for (index_t j = i - p.pool_kernel / 2; j <= i + p.pool_kernel / 2; ++j)
        if (j >= 0 && j < n) pooled += mass[static_cast<std::size_t>(h * n + j)];
      for (index_t first = 0; first < c.d_v(); first += width)
        out.push_back(pooled / static_cast<double>(p.pool_kernel) *
                      norm_of(c.values, i, h, first, width));
    }
  return out;
}

/// Mean and covariance (divided by n) of queries [n, q_heads, d] from row `skip` on, in two passes:
/// mean [q_heads, d], covariance [q_heads, d, d].
inline void query_moments_of(const view<const float, 3>& queries, index_t skip,
                             std::vector<double>& mean, std::vector<double>& covariance) {
  const index_t heads = queries.extent[1], d = queries.extent[2];
  const index_t n = std::max<index_t>(0, queries.extent[0] - skip);
  mean.assign(static_cast<std::size_t>(heads * d), 0.0);
  covariance.assign(static_cast<std::size_t>(heads * d * d), 0.0);
  for (index_t h = 0; h < heads; ++h) {
    double* const mu = mean.data() + h * d;
    for (index_t t = skip; t < skip + n; ++t)
      for (index_t i = 0; i < d; ++i) mu[i] += value_at(queries, t, h, i) / static_cast<double>(n);
    for (index_t t = skip; t < skip + n; ++t)
      for (index_t i = 0; i < d; ++i)
        for (index_t j = 0; j < d; ++j)
          covariance[static_cast<std::size_t>((h * d + i) * d + j)] +=
              (value_at(queries, t, h, i) - mu[i]) * (value_at(queries, t, h, j) - mu[j]) /
              static_cast<double>(n);
  }
}

}  // namespace rota::reference

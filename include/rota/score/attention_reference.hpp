#pragma once

#include <algorithm>
#include <numeric>

#include <rota/score/key_diff.hpp>
#include <rota/score/lag_kv.hpp>
#include <rota/score/observed_attention.hpp>
#include <rota/score/reference.hpp>
#include <rota/score/snapkv.hpp>
#include <rota/score/tova.hpp>

// The scorers that sum attention, KeyDiff and LagKV, written down in double as their formulas read.

namespace rota::reference {

/// What a peer calls "maximum + 1": just above all before it.
inline double above(const std::vector<double>& x) {
  return x.empty() ? 0 : *std::max_element(x.begin(), x.end());
}

/// Tokens before the first of the last `used` window queries.
template <element E, class... Parts>
index_t tokens_before_queries(const context<E, Parts...>& c, index_t used) {
  index_t count = 0;
  while (used > 0 && count < c.tokens() &&
         c.position(count) < query_position(c, c.queries.extent[0] - used))
    ++count;
  return used > 0 ? count : c.tokens();
}

template <element E, class... Parts>
scores score_tokens(tova, const tova::params& p, const context<E, Parts...>& c) {
  const index_t n = c.tokens();
  const index_t used = std::min<index_t>(1, c.queries.extent[0]);
  const scores mass = column_mass(c, used, p.scale);
  const index_t others = used > 0 ? tokens_before_queries(c, 1) : n - 1;
  std::vector<double> one;
  for (index_t i = 0; i < others; ++i) {
    double sum = 0;
    for (index_t h = 0; h < c.kv_heads(); ++h) sum += mass[static_cast<std::size_t>(h * n + i)];
    one.push_back(sum / static_cast<double>(c.queries.extent[1]));
  }
  one.resize(static_cast<std::size_t>(n), above(one));
  scores out;
  for (index_t h = 0; h < c.kv_heads(); ++h) out.insert(out.end(), one.begin(), one.end());
  return out;
}

template <element E, class... Parts>
scores score_tokens(snapkv, const snapkv::params& p, const context<E, Parts...>& c) {
  const index_t n = c.tokens(), window = std::min(p.window, c.queries.extent[0]);
  const index_t others = tokens_before_queries(c, window);
  const scores mass = column_mass(c, window, p.scale);
  const double rows =
      static_cast<double>(std::max<index_t>(1, window * (c.queries.extent[1] / c.kv_heads())));
  scores out;
  for (index_t h = 0; h < c.kv_heads(); ++h) {
    std::vector<double> mine;
    for (index_t i = 0; i < others; ++i) {
      double sum = 0;
      for (index_t j = i - p.kernel / 2; j <= i + p.kernel / 2; ++j)
        if (j >= 0 && j < others) sum += mass[static_cast<std::size_t>(h * n + j)] / rows;
      mine.push_back(sum / static_cast<double>(p.kernel));
    }
    mine.resize(static_cast<std::size_t>(n), above(mine));
    out.insert(out.end(), mine.begin(), mine.end());
  }
  return out;
}

template <element E, class... Parts>
scores score_tokens(observed_attention, const observed_attention::params& p,
                    const context<E, Parts...>& c) {
  const index_t n = c.tokens(), group = c.queries.extent[1] / c.kv_heads();
  scores out = column_mass(c, c.queries.extent[0], p.scale);
  for (index_t i = 0; i < n; ++i) {
    double seeing = 0;
    for (index_t w = 0; w < c.queries.extent[0]; ++w) seeing += is_seen(c, w, i);
    for (index_t h = 0; h < c.kv_heads(); ++h)
      out[static_cast<std::size_t>(h * n + i)] /=
          static_cast<double>(group) * std::max(1.0, seeing);
  }
  return out;
}

template <element E, class... Parts>
scores score_tokens(key_diff, const key_diff::params&, const context<E, Parts...>& c) {
  scores out;
  for (index_t h = 0; h < c.kv_heads(); ++h) {
    std::vector<double> anchor(static_cast<std::size_t>(c.d_k()));
    const auto length = [&](index_t i) { return norm_of(c.keys, i, h, 0, c.d_k()); };
    for (index_t i = 0; i < c.tokens(); ++i)
      for (index_t k = 0; k < c.d_k() && length(i) > 0; ++k)
        anchor[static_cast<std::size_t>(k)] += value_at(c.keys, i, h, k) / length(i);
    const double size =
        std::sqrt(std::inner_product(anchor.begin(), anchor.end(), anchor.begin(), 0.0));
    for (index_t i = 0; i < c.tokens(); ++i) {
      double dot = 0;
      for (index_t k = 0; k < c.d_k(); ++k)
        dot += value_at(c.keys, i, h, k) * anchor[static_cast<std::size_t>(k)];
      out.push_back(length(i) > 0 && size > 0 ? -dot / (length(i) * size) : 0.0);
    }
  }
  return out;
}

/// LagKV's softmax of standard deviations over one partition's rows, [lag].
template <class View>
std::vector<double> lag_shares(const View& rows, index_t h, index_t d, index_t first, index_t lag) {
  std::vector<double> spread;
  for (index_t i = first; i < first + lag; ++i) {
    std::vector<double> y;
    for (index_t k = 0; k < d; ++k) {
      double low = value_at(rows, first + lag, h, k), high = low;
      for (index_t j = first + lag; j < first + 2 * lag; ++j) {
        low = std::min(low, value_at(rows, j, h, k));
        high = std::max(high, value_at(rows, j, h, k));
      }
      y.push_back(high > low ? (value_at(rows, i, h, k) - low) / (high - low) : 0.0);
    }
    const double mean = std::accumulate(y.begin(), y.end(), 0.0) / static_cast<double>(d);
    double squares = 0;
    for (const double v : y) squares += (v - mean) * (v - mean);
    spread.push_back(d > 1 ? std::sqrt(squares / static_cast<double>(d - 1)) : 0.0);
  }
  softmax(spread, 0);
  return spread;
}

template <element E, class... Parts>
scores score_tokens(lag_kv, const lag_kv::params& p, const context<E, Parts...>& c) {
  const index_t n = c.tokens(), sinks = std::min(p.sinks, n);
  scores out;
  for (index_t h = 0; h < c.kv_heads(); ++h) {
    std::vector<double> mine(static_cast<std::size_t>(n), 1.0);
    const bool brief = n - sinks < 2 * p.lag;
    for (index_t i = sinks; brief && i < n; ++i)
      mine[static_cast<std::size_t>(i)] =
          static_cast<double>(i - sinks) / static_cast<double>(n - sinks);
    for (index_t first = sinks; !brief && first + 2 * p.lag <= n; first += p.lag) {
      const auto keys = lag_shares(c.keys, h, c.d_k(), first, p.lag);
      const auto values = lag_shares(c.values, h, c.d_v(), first, p.lag);
      for (std::size_t i = 0; i < keys.size(); ++i) {
        double rank = 0;
        const auto both = [&](std::size_t j) { return (keys[j] + values[j]) / 2; };
        for (std::size_t j = 0; j < keys.size(); ++j)
          if (both(j) < both(i) || (both(j) == both(i) && j < i)) ++rank;
        mine[static_cast<std::size_t>(first) + i] =
            p.ranked ? rank / static_cast<double>(p.lag) : both(i);
      }
    }
    out.insert(out.end(), mine.begin(), mine.end());
  }
  return out;
}

}  // namespace rota::reference

#pragma once

#include <cmath>
#include <vector>

#include "support/random_layer.hpp"

namespace rota_test {

using namespace rota;

/// A context with everything that stock scorers may ask for.
template <element E>
struct scored_layer {
  random_layer<E> plain;
  std::vector<float> queries, mean, covariance, frequencies;
  context<E, window_queries, query_moments, rope_frequencies> c;

  scored_layer(random_source& rng, index_t n, index_t kv_heads, index_t group, index_t d_k,
               index_t d_v, index_t window, bool gaps = false)
      : plain(rng, n, kv_heads, d_k, d_v, gaps) {
    c.keys = plain.context.keys;
    c.values = plain.context.values;
    c.positions = plain.context.positions;
    const index_t q_heads = kv_heads * group;
    fill(rng, queries, window * q_heads * d_k, 1);
    c.queries = view<const float, 3>(queries.data(), window, q_heads, d_k);
    fill(rng, mean, q_heads * d_k, 1);
    c.mean = view<const float, 2>(mean.data(), q_heads, d_k);
    fill(rng, covariance, q_heads * d_k * d_k, 0.3f);
    c.covariance = view<const float, 3>(covariance.data(), q_heads, d_k, d_k);
    for (index_t i = 0; i < d_k / 2; ++i)
      frequencies.push_back(static_cast<float>(
          std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(d_k))));
    c.inverse_frequencies = view<const float, 1>(frequencies.data(), d_k / 2);
  }

  static void fill(random_source& rng, std::vector<float>& x, index_t n, float scale) {
    for (index_t i = 0; i < n; ++i) x.push_back(scale * rng.normal());
  }
};

}  // namespace rota_test

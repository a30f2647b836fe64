#pragma once

#include <algorithm>
#include <vector>

#include <doctest/doctest.h>

#include <rota/score/output_projection.hpp>

#include "support/scored_layer.hpp"

namespace rota_test {

/// A context with an output projection, for the scorers that look behind it.
template <element E>
struct projected_layer {
  scored_layer<E> plain;
  std::vector<float> matrix, gram;
  context<E, window_queries, output_projection, output_gram> c;

  projected_layer(random_source& rng, index_t n, index_t kv_heads, index_t group, index_t groups,
                  index_t hidden, index_t width = 8)
      : plain(rng, n, kv_heads, group, 16, groups * width, std::min<index_t>(n, 5)) {
    c.keys = plain.c.keys;
    c.values = plain.c.values;
    c.queries = plain.c.queries;
    const index_t q_heads = kv_heads * group;
    matrix.resize(static_cast<std::size_t>(hidden * q_heads * groups * width));
    for (float& x : matrix) x = rng.normal();
    c.weights = view<const float, 3>(matrix.data(), hidden, q_heads, groups * width);
    gram.resize(static_cast<std::size_t>(kv_heads * groups * width * width));
    const view<float, 4> out(gram.data(), kv_heads, groups, width, width);
    REQUIRE(make_output_gram(c.weights, out).ok());
    c.gram = out;
  }
  projected_layer(const projected_layer&) = delete;
  projected_layer& operator=(const projected_layer&) = delete;
};

inline std::vector<double> doubles(const std::vector<float>& x) {
  return {x.begin(), x.end()};
}

/// The scores without the first stage's, which all are the largest float.
inline std::vector<double> second_stage(const std::vector<double>& x) {
  std::vector<double> out;
  for (const double v : x) out.push_back(v > 1e38 ? 0 : v);
  return out;
}

}  // namespace rota_test

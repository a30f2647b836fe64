#pragma once

#include <cmath>
#include <vector>

#include <rota/score/predictor.hpp>
#include <rota/score/role_router.hpp>
#include <rota/score/router.hpp>

#include "support/random_layer.hpp"

// Layers whose tokens have hidden states, with random weights that read them.

namespace rota_test {

using namespace rota;

using routed_context = context<bf16, layer_states, router_weights>;

/// A layer, the states that its projections read, and a router of random weights.
template <router_form Form>
struct routed_layer {
  static constexpr int width = 8;
  random_layer<bf16> plain;
  std::vector<float> hidden, weights, bias;
  routed_context c;

  routed_layer(random_source& rng, index_t n, index_t kv_heads, index_t groups, index_t d)
      : plain(rng, n, kv_heads, 16, groups * width) {
    c.keys = plain.context.keys;
    c.values = plain.context.values;
    const index_t outputs = Form::outputs(kv_heads, groups);
    fill(rng, hidden, n * d);
    fill(rng, weights, outputs * d);
    fill(rng, bias, outputs);
    c.layer_hidden = view<const float, 2>(hidden.data(), n, d);
    c.router = view<const float, 2>(weights.data(), outputs, d);
    c.router_bias = view<const float, 1>(bias.data(), outputs);
  }
  routed_layer(const routed_layer&) = delete;
  routed_layer& operator=(const routed_layer&) = delete;

  static void fill(random_source& rng, std::vector<float>& x, index_t n) {
    for (index_t i = 0; i < n; ++i) x.push_back(rng.normal());
  }
};

using role_context = context<bf16, layer_states, router_weights, role_weights>;

/// The same, with five roles.
struct role_layer : routed_layer<per_head_router> {
  std::vector<float> role_rows, role_offsets, mixture;
  role_context roles;

  role_layer(random_source& rng, index_t n, index_t kv_heads, index_t groups, index_t d)
      : routed_layer(rng, n, kv_heads, groups, d) {
    static_cast<layer_states&>(roles) = c;
    static_cast<router_weights&>(roles) = c;
    roles.keys = c.keys;
    roles.values = c.values;
    fill(rng, role_rows, 5 * d);
    fill(rng, role_offsets, 5);
    fill(rng, mixture, kv_heads * groups * 5);
    roles.role_router = view<const float, 2>(role_rows.data(), 5, d);
    roles.role_bias = view<const float, 1>(role_offsets.data(), 5);
    roles.role_groups = view<const float, 2>(mixture.data(), kv_heads * groups, 5);
  }
};

using predicted_context =
    context<bf16, split_states, linear_relevance, query_states, bilinear_relevance>;

/// A layer, hidden states of its tokens and of the query, and random weights.
struct predicted_layer {
  static constexpr int width = 8;
  random_layer<bf16> plain;
  std::vector<float> hidden, query, linear, bias, token_factor, query_factor, mix;
  predicted_context c;

  predicted_layer(random_source& rng, index_t n, index_t kv_heads, index_t groups, index_t d,
                  index_t queries, index_t rank)
      : plain(rng, n, kv_heads, 16, groups * width) {
    c.keys = plain.context.keys;
    c.values = plain.context.values;
    const float unit = 1 / std::sqrt(static_cast<float>(d));
    c.hidden = matrix(rng, hidden, n, d, 1);
    c.query_hidden = matrix(rng, query, queries, d, 1);
    c.linear = matrix(rng, linear, kv_heads * groups, d, unit);
    bias.resize(static_cast<std::size_t>(kv_heads * groups));
    for (float& x : bias) x = rng.normal();
    c.bias = view<const float, 1>(bias.data(), kv_heads * groups);
    c.token_factor = matrix(rng, token_factor, rank, d, unit);
    c.query_factor = matrix(rng, query_factor, rank, d, unit);
    c.mix = matrix(rng, mix, kv_heads, rank, 1);
  }
  predicted_layer(const predicted_layer&) = delete;
  predicted_layer& operator=(const predicted_layer&) = delete;

  static view<const float, 2> matrix(random_source& rng, std::vector<float>& x, index_t rows,
                                     index_t columns, float scale) {
    x.resize(static_cast<std::size_t>(rows * columns));
    for (float& v : x) v = scale * rng.normal();
    return view<const float, 2>(x.data(), rows, columns);
  }
};

}  // namespace rota_test

#pragma once

#include <vector>

#include <rota/policy/context.hpp>
#include <rota/select/selection.hpp>

#include "support/random.hpp"

namespace rota_test {

using rota::index_t;

/// Keys and values of one layer of one sequence, with a context over them.
template <rota::element E>
struct random_layer {
  std::vector<E> keys, values;
  std::vector<rota::position_t> positions;
  rota::context<E> context;

  random_layer(random_source& rng, index_t n, index_t kv_heads, index_t d_k, index_t d_v,
               bool gaps = false) {
    keys.resize(static_cast<std::size_t>(n * kv_heads * d_k));
    values.resize(static_cast<std::size_t>(n * kv_heads * d_v));
    for (E& x : keys) x = E(rng.normal());
    for (E& x : values) x = E(rng.normal());
    context.keys = rota::view<const E, 3>(keys.data(), n, kv_heads, d_k);
    context.values = rota::view<const E, 3>(values.data(), n, kv_heads, d_v);
    if (!gaps) return;
    rota::position_t at = 0;
    for (index_t i = 0; i < n; ++i) {
      at += static_cast<rota::position_t>(rng.between(1, 3));
      positions.push_back(at);
    }
    context.positions = rota::view<const rota::position_t, 1>(positions.data(), n);
  }
  random_layer(const random_layer&) = delete;
  random_layer& operator=(const random_layer&) = delete;
};

/// A random kept set: each token survives with `keep_token`, each of its groups is kept with
/// `keep_group`.
struct random_selection {
  std::vector<std::int32_t> indices, counts;
  std::vector<rota::group_mask> masks;
  rota::selection kept;

  random_selection(random_source& rng, index_t n, index_t kv_heads, int groups, double keep_token,
                   double keep_group)
      : indices(static_cast<std::size_t>(kv_heads * n)),
        counts(static_cast<std::size_t>(kv_heads)),
        masks(static_cast<std::size_t>(kv_heads * n)) {
    kept.indices = rota::view<std::int32_t, 2>(indices.data(), kv_heads, n);
    kept.masks = rota::view<rota::group_mask, 2>(masks.data(), kv_heads, n);
    kept.counts = rota::view<std::int32_t, 1>(counts.data(), kv_heads);
    for (index_t h = 0; h < kv_heads; ++h) {
      std::int32_t count = 0;
      for (index_t i = 0; i < n; ++i) {
        if (!rng.chance(keep_token)) continue;
        unsigned mask = 0;
        for (int g = 0; g < groups; ++g) mask |= rng.chance(keep_group) ? 1u << g : 0u;
        kept.indices(h, count) = static_cast<std::int32_t>(i);
        kept.masks(h, count) = static_cast<rota::group_mask>(mask);
        ++count;
      }
      kept.counts(h) = count;
    }
  }
  random_selection(const random_selection&) = delete;
  random_selection& operator=(const random_selection&) = delete;
};

}  // namespace rota_test

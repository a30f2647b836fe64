#pragma once

#include <cmath>
#include <vector>

#include <rota/lora/adapter.hpp>

#include "support/random.hpp"

namespace rota_test {

using namespace rota;

/// Random weights of one adapter.
template <element E>
struct adapter {
  std::vector<E> down, up, router;
  std::vector<float> bias;
  lora_weights<E> weights;

  adapter(random_source& rng, index_t in, index_t out, index_t rank, index_t subspaces) {
    const float unit = 1 / std::sqrt(static_cast<float>(in));
    weights.down = fill(rng, down, rank, in, unit);
    weights.up = fill(rng, up, rank, out, 1);
    weights.router = fill(rng, router, subspaces, in, unit);
    bias.resize(static_cast<std::size_t>(subspaces));
    for (float& x : bias) x = rng.normal();
    if (rng.chance(0.5)) weights.router_bias = view<const float, 1>(bias.data(), subspaces);
    weights.alpha = 4;
  }
  adapter(const adapter&) = delete;
  adapter& operator=(const adapter&) = delete;

  static view<const E, 2> fill(random_source& rng, std::vector<E>& x, index_t rows, index_t columns,
                               float scale) {
    x.resize(static_cast<std::size_t>(rows * columns));
    for (E& v : x) v = E(scale * rng.normal());
    return view<const E, 2>(x.data(), rows, columns);
  }
};

/// Tokens and their projections, with room for the router's logits.
struct lora_tokens {
  std::vector<float> x, y, logits;
  lora_tokens(random_source& rng, index_t n, index_t in, index_t out, index_t subspaces)
      : x(static_cast<std::size_t>(n * in)),
        y(static_cast<std::size_t>(n * out)),
        logits(static_cast<std::size_t>(n * subspaces)) {
    for (float& v : x) v = rng.normal();
    for (float& v : y) v = rng.normal();
  }
  template <element E>
  lora_item<E> item(const lora_weights<E>& w, index_t n) {
    lora_item<E> out{w, {}, {}, {}};
    out.x = view<const float, 2>(x.data(), n, w.in());
    out.y = view<float, 2>(y.data(), n, w.out());
    return out;
  }
};

}  // namespace rota_test

#pragma once

#include <limits>

#include <rota/budget/adaptive_span.hpp>
#include <rota/budget/at_most.hpp>
#include <rota/budget/entropy_span.hpp>
#include <rota/budget/fixed_k.hpp>
#include <rota/budget/global_top_m.hpp>
#include <rota/budget/head_adaptive.hpp>
#include <rota/budget/k_by_type.hpp>
#include <rota/budget/keep_ratio.hpp>
#include <rota/budget/pyramid.hpp>

#include "support/policies.hpp"
#include "support/random.hpp"

namespace rota_test {

using rota::index_t;

/// A ratio that is often 0 or 1.
inline double random_ratio(random_source& rng) {
  return rng.chance(0.2) ? static_cast<double>(rng.below(2)) : rng.uniform();
}

/// A random parameter for a budget over at most `items` items: below, at and above what there is.
template <rota::budget_scope Scope>
void randomise(random_source& rng, rota::keep_ratio_in<Scope>, auto& p, index_t) {
  p.ratio = random_ratio(rng);
}
inline void randomise(random_source& rng, rota::fixed_k, auto& p, index_t items) {
  p.k = rng.chance(0.2) ? 0 : rng.below(items + 3);
}
template <rota::budget_scope Scope>
void randomise(random_source& rng, rota::top_m<Scope>, auto& p, index_t items) {
  p.m = rng.chance(0.1) ? 0 : rng.below(6 * items + 3);
}
inline void randomise(random_source& rng, rota::adaptive_span, auto& p, index_t) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  p.tau = rng.pick<float>({-inf, inf, 0.0f, -0.0f, 0.25f, 1.0f, rng.normal()});
}
inline void randomise(random_source& rng, rota::entropy_span, auto& p, index_t) {
  p.mass = rng.chance(0.2) ? rng.pick<double>({0, 0.25, 0.5, 1}) : rng.uniform();
}
template <int Types>
void randomise(random_source& rng, rota::k_by_type<Types>, auto& p, index_t) {
  for (index_t& k : p.k) k = rng.below(10);
}
inline void randomise(random_source& rng, rota::head_adaptive, auto& p, index_t items) {
  p.ratio = random_ratio(rng);
  if (rng.chance(0.3)) p.m = rng.below(4 * items + 3);
  p.safeguard = random_ratio(rng);
}
inline void randomise(random_source& rng, rota::pyramid, auto& p, index_t items) {
  p.ratio = random_ratio(rng);
  if (rng.chance(0.3)) p.m = rng.below(items + 3);
  p.window = rng.chance(0.5) ? 0 : rng.below(items / 4 + 1);
  p.beta = 1 + 30 * rng.uniform();
}
inline void randomise(random_source& rng, one_in, auto& p, index_t) {
  p.every = rng.between(1, 5);
}
inline void randomise(random_source& rng, spared, auto& p, index_t) {
  p.ratio = random_ratio(rng);
  p.floor = rng.below(12);
}

inline void randomise(random_source& rng, by_head, auto& p, index_t) {
  p.least = random_ratio(rng);
}
template <class Budget>
void randomise(random_source& rng, rota::at_most<Budget>, auto& p, index_t items) {
  randomise(rng, Budget{}, p.budget, items);
  p.ratio = random_ratio(rng);
}

template <class Budget>
typename Budget::params random_params(random_source& rng, index_t items) {
  typename Budget::params p;
  if constexpr (rota::selects_by<Budget>) randomise(rng, Budget{}, p, items);
  return p;
}

}  // namespace rota_test

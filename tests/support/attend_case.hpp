#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <rota/attend/reference.hpp>
#include <rota/cpu/attend.hpp>

#include "support/memory.hpp"
#include "support/random.hpp"

namespace rota_test {

using rota::index_t;

/// Queries and results of one attend_item; results start as `untouched`.
template <class Store, class Io = float>
struct attend_case {
  static constexpr float untouched = 7.25f;

  std::vector<Io> q, out;
  std::vector<float> lse;
  rota::attend_item<Store, Io> item;

  attend_case(random_source& rng, const Store& store, index_t n, index_t group) {
    const index_t q_heads = store.kv_heads() * group;
    q.resize(static_cast<std::size_t>(n * q_heads * store.d_k()));
    out.assign(static_cast<std::size_t>(n * q_heads * store.d_v()), Io(untouched));
    lse.assign(static_cast<std::size_t>(n * q_heads), untouched);
    for (Io& x : q) x = Io(rng.normal());
    item.q = rota::view<const Io, 3>(q.data(), n, q_heads, store.d_k());
    item.store = &store;
    item.out = rota::view<Io, 3>(out.data(), n, q_heads, store.d_v());
    item.lse = rota::view<float, 2>(lse.data(), n, q_heads);
  }
  attend_case(const attend_case&) = delete;
  attend_case& operator=(const attend_case&) = delete;

  bool is_untouched() const {
    for (Io x : out)
      if (static_cast<float>(x) != untouched) return false;
    for (float x : lse)
      if (x != untouched) return false;
    return true;
  }
};

/// Runs a batch with a workspace of exactly the size that is asked for.
template <class Store, class Io = float>
rota::status run_attend(const rota::cpu::backend& b,
                        const std::vector<rota::attend_item<Store, Io>>& items,
                        const rota::attend_params& params) {
  const std::span<const rota::attend_item<Store, Io>> batch(items);
  const aligned_memory ws(rota::cpu::attend_workspace_bytes(b, batch, params));
  return rota::cpu::attend(b, batch, params, ws.workspace());
}

/// The largest relative error of a row of the item's results against the oracle: max|diff| /
/// max|ref| for outputs; absolute over at least 1 for log-sum-exps. Infinite where one is NaN or
/// infinite and the other is not. Outputs count as at least `least`: the largest of very few
/// columns says little about their scale.
template <class Store, class Io>
double error_against_reference(const rota::attend_item<Store, Io>& item,
                               const rota::attend_params& params, double least = 0) {
  const index_t n = item.q.extent[0], heads = item.q.extent[1], d_v = item.store->d_v();
  std::vector<double> out(static_cast<std::size_t>(n * heads * d_v)),
      lse(static_cast<std::size_t>(n * heads));
  const rota::view<double, 3> want(out.data(), n, heads, d_v);
  const rota::view<double, 2> want_lse(lse.data(), n, heads);
  rota::reference::attend(item, params, want, want_lse);
  constexpr double wrong = std::numeric_limits<double>::infinity();
  double worst = 0;
  for (index_t i = 0; i < n; ++i)
    for (index_t h = 0; h < heads; ++h) {
      double difference = 0, size = least;
      for (index_t c = 0; c < d_v; ++c) {
        const double w = want(i, h, c),
                     g = static_cast<double>(static_cast<float>(item.out(i, h, c)));
        if (std::isnan(w) != std::isnan(g)) return wrong;
        if (std::isnan(w)) continue;
        difference = std::max(difference, std::fabs(g - w));
        size = std::max(size, std::fabs(w));
      }
      worst = std::max(worst, size > 0 ? difference / size : difference);
      const double w = want_lse(i, h), g = static_cast<double>(item.lse(i, h));
      if (std::isnan(w) != std::isnan(g) || std::isinf(w) != std::isinf(g)) return wrong;
      if (std::isfinite(w)) worst = std::max(worst, std::fabs(g - w) / std::max(1.0, std::fabs(w)));
    }
  return worst;
}

/// The same queries as floats.
template <class Store, class Io>
void take_queries(attend_case<Store>& to, const attend_case<Store, Io>& from) {
  std::transform(from.q.begin(), from.q.end(), to.q.begin(),
                 [](Io x) { return static_cast<float>(x); });
}

/// What rounding may cost: stores are compared with the oracle over the same rounded elements.
template <class E>
inline constexpr double attend_tolerance = 4e-3;
template <>
inline constexpr double attend_tolerance<float> = 1e-5;

}  // namespace rota_test

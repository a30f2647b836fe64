#pragma once

#include <limits>
#include <memory>
#include <vector>

#include <rota/attend/reference.hpp>
#include <rota/cuda/attend.cuh>

#include "cuda/device_case.hpp"

namespace rota_test {

struct attend_shape {
  index_t tokens = 300;  ///< of the context
  index_t tail = 5;      ///< appended
  index_t kv_heads = 2, group = 4, d = 64, queries = 1;
  double keep_tokens = 0.7, keep_groups = 0.5;
  bool means = false;
  index_t rank = 0;
  rota::attend_params params;
};

/// Queries and outputs of an item in device memory.
template <class Store>
struct device_item {
  index_t n, heads, d;
  std::vector<float> q_host;
  device_array<float> q, out, lse;
  rota::attend_item<Store> item;

  device_item(random_source& rng, const Store& store, index_t queries, index_t q_heads)
      : n(queries),
        heads(q_heads),
        d(store.d_k()),
        q_host(static_cast<std::size_t>(n * heads * d)),
        q(q_host.size()),
        out(q_host.size()),
        lse(static_cast<std::size_t>(n * heads)) {
    for (float& x : q_host) x = rng.normal();
    q.upload(q_host);
    item.q = rota::view<const float, 3>(q.data(), n, heads, d);
    item.store = &store;
    item.out = rota::view<float, 3>(out.data(), n, heads, d);
    item.lse = rota::view<float, 2>(lse.data(), n, heads);
  }

  /// The largest error of a row against the double reference over a store on the host: relative to
  /// the row's largest value for outputs, absolute over at least 1 for log-sum-exps.
  template <class HostStore>
  double error(const HostStore& store, const rota::attend_params& params) const {
    rota::attend_item<HostStore> on_host;
    on_host.q = rota::view<const float, 3>(q_host.data(), n, heads, d);
    on_host.store = &store;
    std::vector<double> want(q_host.size()), want_lse(static_cast<std::size_t>(n * heads));
    rota::reference::attend(on_host, params, rota::view<double, 3>(want.data(), n, heads, d),
                            rota::view<double, 2>(want_lse.data(), n, heads));
    const std::vector<float> got = out.download(), got_lse = lse.download();
    double worst = 0;
    for (std::size_t row = 0; row < want_lse.size(); ++row) {
      double difference = 0, size = 0;
      for (std::size_t c = row * static_cast<std::size_t>(d);
           c < (row + 1) * static_cast<std::size_t>(d); ++c) {
        difference = larger(difference, std::fabs(static_cast<double>(got[c]) - want[c]));
        size = larger(size, std::fabs(want[c]));
      }
      worst = larger(worst, size > 0 ? difference / size : difference);
      const double l = want_lse[row], g = static_cast<double>(got_lse[row]);
      if (std::isinf(l) || std::isinf(g))
        worst = larger(worst, l == g ? 0 : std::numeric_limits<double>::infinity());
      else
        worst = larger(worst, std::fabs(g - l) / larger(1, std::fabs(l)));
    }
    return worst;
  }

 private:
  /// A NaN is the largest of all.
  static double larger(double a, double b) {
    return a != a || b != b ? std::numeric_limits<double>::quiet_NaN() : a > b ? a : b;
  }
};

/// Runs a batch with a workspace of exactly the size that is asked for.
template <class Store>
rota::status run_attend(const rota::cuda::backend& b,
                        const std::vector<rota::attend_item<Store>>& items,
                        const rota::attend_params& params) {
  const std::span<const rota::attend_item<Store>> batch(items);
  const device_workspace ws(rota::cuda::attend_workspace_bytes(b, batch, params));
  return rota::cuda::attend(b, batch, params, ws.get());
}

/// Rows [kv_heads, capacity, d] of a random layer, `tokens + tail` of them.
template <rota::element E>
struct dense_case {
  attend_shape shape;
  random_source rng;
  std::vector<E> keys, values;
  rota::dense_store<E> host;

  dense_case(std::uint64_t seed, const attend_shape& s) : shape(s), rng(seed) {
    const index_t n = s.tokens + s.tail, size = s.kv_heads * n * s.d;
    for (index_t i = 0; i < size; ++i) {
      keys.push_back(E(rng.normal()));
      values.push_back(E(rng.normal()));
    }
    host.keys = rota::view<E, 3>(keys.data(), s.kv_heads, n, s.d);
    host.values = rota::view<E, 3>(values.data(), s.kv_heads, n, s.d);
    host.length = n;
  }

  double error(std::uint64_t seed, int architecture) {
    const gpu g(seed, architecture);
    const device_array<E> device_keys(keys), device_values(values);
    rota::dense_store<E> store = host;
    store.keys.data = device_keys.data();
    store.values.data = device_values.data();
    const device_item<rota::dense_store<E>> item(rng, store, shape.queries,
                                                 shape.kv_heads * shape.group);
    REQUIRE(run_attend(g.backend(), std::vector{item.item}, shape.params).ok());
    REQUIRE(g.result().ok());
    return item.error(host, shape.params);
  }
};

/// A packed store made on the device, a tail appended there.
template <class Layout>
struct packed_case {
  using E = typename Layout::element_type;
  attend_shape shape;
  random_source rng;
  random_layer<E> layer, tail;
  random_selection kept;
  random_codec codec;

  packed_case(std::uint64_t seed, const attend_shape& s)
      : shape(s),
        rng(seed),
        layer(rng, s.tokens, s.kv_heads, s.d, s.d, true),
        tail(rng, s.tail, s.kv_heads, s.d, s.d),
        kept(rng, s.tokens, s.kv_heads, static_cast<int>(s.d / Layout::width), s.keep_tokens,
             s.keep_groups),
        codec(rng, s.kv_heads, s.rank, s.d) {}

  rota::packed_shape packed_shape() const {
    const std::uint8_t fill = shape.means ? 1 : shape.rank > 0 ? 2 : 0;
    return Layout::shape(shape.kv_heads, shape.d, shape.d, {shape.tail}, fill, shape.means,
                         shape.rank);
  }

  /// Packs and appends.
  void fill(const gpu& g, device_store<Layout>& store) const {
    const coded_device_layer<E> rows(layer, codec);
    const device_selection selected(kept);
    REQUIRE(run_pack(g.backend(), packed_shape(), rows.context, selected.kept, store.store).ok());
    const device_layer<E> more(tail);
    REQUIRE(rota::cuda::append(g.backend(), store.store, more.context.keys, more.context.values)
                .ok());
    REQUIRE(g.result().ok());
  }

  double error(std::uint64_t seed, int architecture) {
    const gpu g(seed, architecture);
    device_store<Layout> store(packed_shape(), shape.tokens);
    fill(g, store);
    const device_item<typename Layout::store_type> item(rng, store.store, shape.queries,
                                                        shape.kv_heads * shape.group);
    REQUIRE(run_attend(g.backend(), std::vector{item.item}, shape.params).ok());
    REQUIRE(g.result().ok());
    return item.error(store.to_host().store, shape.params);
  }
};

}  // namespace rota_test

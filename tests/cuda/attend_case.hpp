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
template <class Store, class Io = float>
struct device_item {
  index_t n, heads, d;
  std::vector<Io> q_host;
  device_array<Io> q, out;
  device_array<float> lse;
  rota::attend_item<Store, Io> item;

  device_item(const std::vector<float>& values, const Store& store, index_t queries,
              index_t q_heads)
      : n(queries),
        heads(q_heads),
        d(store.d_k()),
        q_host(rounded(values)),
        q(q_host),
        out(values.size()),
        lse(static_cast<std::size_t>(n * heads)) {
    item.q = rota::view<const Io, 3>(q.data(), n, heads, d);
    item.store = &store;
    item.out = rota::view<Io, 3>(out.data(), n, heads, d);
    item.lse = rota::view<float, 2>(lse.data(), n, heads);
  }

  /// The largest error of a row against the double reference over a store on the host: relative to
  /// the row's largest value for outputs, absolute over at least 1 for log-sum-exps.
  template <class HostStore>
  double error(const HostStore& store, const rota::attend_params& params) const {
    rota::attend_item<HostStore, Io> on_host;
    on_host.q = rota::view<const Io, 3>(q_host.data(), n, heads, d);
    on_host.store = &store;
    std::vector<double> want(q_host.size()), want_lse(static_cast<std::size_t>(n * heads));
    rota::reference::attend(on_host, params, rota::view<double, 3>(want.data(), n, heads, d),
                            rota::view<double, 2>(want_lse.data(), n, heads));
    const std::vector<Io> got = out.download();
    const std::vector<float> got_lse = lse.download();
    double worst = 0;
    for (std::size_t row = 0; row < want_lse.size(); ++row) {
      double difference = 0, size = 0;
      for (std::size_t c = row * static_cast<std::size_t>(d);
           c < (row + 1) * static_cast<std::size_t>(d); ++c) {
        difference = larger(difference,
                            std::fabs(static_cast<double>(static_cast<float>(got[c])) - want[c]));
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
  static std::vector<Io> rounded(const std::vector<float>& values) {
    std::vector<Io> all;
    for (const float x : values) all.push_back(Io(x));
    return all;
  }
  /// A NaN is the largest of all.
  static double larger(double a, double b) {
    return a != a || b != b ? std::numeric_limits<double>::quiet_NaN() : a > b ? a : b;
  }
};

/// Runs a batch with a workspace of exactly the size that is asked for.
template <class Store, class Io>
rota::status run_attend(const rota::cuda::backend& b,
                        const std::vector<rota::attend_item<Store, Io>>& items,
                        const rota::attend_params& params) {
  const std::span<const rota::attend_item<Store, Io>> batch(items);
  const device_workspace ws(rota::cuda::attend_workspace_bytes(b, batch, params));
  return rota::cuda::attend(b, batch, params, ws.get());
}

/// Rows [kv_heads, capacity, d] of random numbers, `tokens + tail` of them.
template <rota::element E>
struct dense_case {
  attend_shape shape;
  random_source rng;
  std::vector<E> keys, values;
  std::vector<float> queries;

  dense_case(std::uint64_t seed, const attend_shape& s) : shape(s), rng(seed) {
    const index_t size = s.kv_heads * tokens() * s.d;
    for (index_t i = 0; i < size; ++i) {
      keys.push_back(E(rng.normal()));
      values.push_back(E(rng.normal()));
    }
    queries.resize(static_cast<std::size_t>(s.queries * s.kv_heads * s.group * s.d));
    for (float& x : queries) x = static_cast<float>(E(rng.normal()));  // as a model's would be
  }
  index_t tokens() const { return shape.tokens + shape.tail; }

  double error(std::uint64_t seed, int architecture) {
    double worst = 0;
    run(seed, architecture, [&](const auto& item) { worst = item.error(host(), shape.params); });
    return worst;
  }
  std::vector<float> outputs(std::uint64_t seed) {
    std::vector<float> out;
    run(seed, 80, [&](const auto& item) { out = item.out.download(); });
    return out;
  }

 private:
  rota::dense_store<E> store_of(E* k, E* v) const {
    rota::dense_store<E> s;
    s.keys = rota::view<E, 3>(k, shape.kv_heads, tokens(), shape.d);
    s.values = rota::view<E, 3>(v, shape.kv_heads, tokens(), shape.d);
    s.length = tokens();
    return s;
  }
  rota::dense_store<E> host() { return store_of(keys.data(), values.data()); }

  template <class F>
  void run(std::uint64_t seed, int architecture, F&& use) {
    const gpu g(seed, architecture);
    const device_array<E> device_keys(keys), device_values(values);
    const rota::dense_store<E> store = store_of(device_keys.data(), device_values.data());
    const device_item<rota::dense_store<E>> item(queries, store, shape.queries,
                                                 shape.kv_heads * shape.group);
    REQUIRE(run_attend(g.backend(), std::vector{item.item}, shape.params).ok());
    REQUIRE(g.result().ok());
    use(item);
  }
};

/// The same rows in pages that lie in any order, the last one first.
template <rota::element E>
struct paged_case {
  dense_case<E> rows;
  index_t page_tokens;

  paged_case(std::uint64_t seed, const attend_shape& s, index_t tokens_a_page)
      : rows(seed, s), page_tokens(tokens_a_page) {}

  double error(std::uint64_t seed) {
    const gpu g(seed, 80);
    const attend_shape& s = rows.shape;
    const index_t pages = (rows.tokens() + page_tokens - 1) / page_tokens;
    const auto size = static_cast<std::size_t>(pages * s.kv_heads * page_tokens * s.d);
    std::vector<E> keys(size), values(size);
    std::vector<std::int32_t> table;
    for (index_t p = 0; p < pages; ++p) table.push_back(static_cast<std::int32_t>(pages - 1 - p));
    for (index_t h = 0; h < s.kv_heads; ++h)
      for (index_t i = 0; i < rows.tokens(); ++i)
        for (index_t c = 0; c < s.d; ++c) {
          const index_t page = table[static_cast<std::size_t>(i / page_tokens)];
          const auto to = static_cast<std::size_t>(
              ((page * s.kv_heads + h) * page_tokens + i % page_tokens) * s.d + c);
          const auto from = static_cast<std::size_t>((h * rows.tokens() + i) * s.d + c);
          keys[to] = rows.keys[from];
          values[to] = rows.values[from];
        }
    const device_array<E> device_keys(keys), device_values(values);
    const device_array<std::int32_t> device_table(table);
    const auto store_of = [&](E* k, E* v, const std::int32_t* t) {
      rota::paged_store<E> store;
      store.key_pages = rota::view<E, 4>(k, pages, s.kv_heads, page_tokens, s.d);
      store.value_pages = rota::view<E, 4>(v, pages, s.kv_heads, page_tokens, s.d);
      store.block_table = rota::view<const std::int32_t, 1>(t, pages);
      store.length = rows.tokens();
      return store;
    };
    const rota::paged_store<E> store =
        store_of(device_keys.data(), device_values.data(), device_table.data());
    const device_item<rota::paged_store<E>> item(rows.queries, store, s.queries,
                                                 s.kv_heads * s.group);
    REQUIRE(run_attend(g.backend(), std::vector{item.item}, s.params).ok());
    REQUIRE(g.result().ok());
    return item.error(store_of(keys.data(), values.data(), table.data()), s.params);
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
  std::vector<float> queries;

  packed_case(std::uint64_t seed, const attend_shape& s)
      : shape(s),
        rng(seed),
        layer(rng, s.tokens, s.kv_heads, s.d, s.d, true),
        tail(rng, s.tail, s.kv_heads, s.d, s.d),
        kept(rng, s.tokens, s.kv_heads, static_cast<int>(s.d / Layout::width), s.keep_tokens,
             s.keep_groups),
        codec(rng, s.kv_heads, s.rank, s.d),
        queries(static_cast<std::size_t>(s.queries * s.kv_heads * s.group * s.d)) {
    for (float& x : queries) x = static_cast<float>(E(rng.normal()));  // as a model's would be
  }

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
    REQUIRE(
        rota::cuda::append(g.backend(), store.store, more.context.keys, more.context.values).ok());
    REQUIRE(g.result().ok());
  }

  double error(std::uint64_t seed, int architecture) const {
    double worst = 0;
    run(seed, architecture, [&](const gpu&, const auto& store, const auto& item) {
      worst = item.error(store.to_host().store, shape.params);
    });
    return worst;
  }
  std::vector<float> result(std::uint64_t seed) const {
    std::vector<float> out;
    run(seed, 90, [&](const gpu&, const auto&, const auto& item) { out = item.out.download(); });
    return out;
  }
#if !defined(__CUDACC__)
  simt::bank_counts banks(int architecture) const {
    simt::bank_counts counts;
    run(0, architecture,
        [&](const gpu& g, const auto&, const auto&) { counts = g.emulator().banks(); });
    return counts;
  }
#endif

 private:
  template <class F>
  void run(std::uint64_t seed, int architecture, F&& use) const {
    const gpu g(seed, architecture);
    device_store<Layout> store(packed_shape(), shape.tokens);
    fill(g, store);
    const device_item<typename Layout::store_type> item(queries, store.store, shape.queries,
                                                        shape.kv_heads * shape.group);
    REQUIRE(run_attend(g.backend(), std::vector{item.item}, shape.params).ok());
    REQUIRE(g.result().ok());
    use(g, store, item);
  }
};

/// The largest error of a batch of packed stores of these lengths, one to three queries each.
template <class Layout>
double ragged_error(std::uint64_t seed, const std::vector<index_t>& lengths,
                    std::uint64_t schedule) {
  const gpu g(schedule);
  using item_type = device_item<typename Layout::store_type>;
  std::vector<std::unique_ptr<packed_case<Layout>>> cases;
  std::vector<std::unique_ptr<device_store<Layout>>> stores;
  std::vector<std::unique_ptr<item_type>> items;
  std::vector<rota::attend_item<typename Layout::store_type>> batch;
  for (const index_t tokens : lengths) {
    attend_shape s;
    s.tokens = tokens;
    s.queries = 1 + static_cast<index_t>(cases.size()) % 3;
    cases.push_back(std::make_unique<packed_case<Layout>>(seed + cases.size(), s));
    const auto& c = *cases.back();
    stores.push_back(std::make_unique<device_store<Layout>>(c.packed_shape(), tokens));
    c.fill(g, *stores.back());
    items.push_back(std::make_unique<item_type>(c.queries, stores.back()->store, s.queries,
                                                s.kv_heads * s.group));
    batch.push_back(items.back()->item);
  }
  REQUIRE(run_attend(g.backend(), batch, {}).ok());
  REQUIRE(g.result().ok());
  double worst = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const double error = items[i]->error(stores[i]->to_host().store, {});
    worst = error != error || error > worst ? error : worst;
  }
  return worst;
}

}  // namespace rota_test

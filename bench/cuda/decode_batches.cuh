#pragma once

#include <cmath>
#include <memory>
#include <numeric>

#include <rota/attend/reference.hpp>

#include "layer.cuh"

// Batches of every kind of store that decoding is measured on. Each has `stores`, their `bytes`,
// and the error of an answer about sequence 0.

namespace bench {

/// As engines have them: queries and outputs of the store's element.
template <class Store>
using item_of = rota::attend_item<Store, bf16>;

/// Queries and outputs of a batch.
struct answers {
  memory<bf16> q, out;
  explicit answers(const shape& s)
      : q(static_cast<std::size_t>(s.batch * s.queries * s.q_heads * d)), out(q.size()) {
    fill(q, 99);
  }
  template <class Store>
  std::vector<item_of<Store>> items(const shape& s, const std::vector<Store>& stores) const {
    std::vector<item_of<Store>> batch;
    const index_t size = s.queries * s.q_heads * d;
    for (index_t i = 0; i < s.batch; ++i) {
      item_of<Store> item;
      item.q = rota::view<const bf16, 3>(q.data() + i * size, s.queries, s.q_heads, d);
      item.out = rota::view<bf16, 3>(out.data() + i * size, s.queries, s.q_heads, d);
      item.store = &stores[static_cast<std::size_t>(i)];
      batch.push_back(item);
    }
    return batch;
  }
};

/// Largest error of sequence 0 against the double reference, relative to a row's largest number.
template <class HostStore>
double error_of(const shape& s, const answers& a, const HostStore& store) {
  const std::vector<bf16> q = a.q.download(), got = a.out.download();
  item_of<HostStore> item;
  item.q = rota::view<const bf16, 3>(q.data(), s.queries, s.q_heads, d);
  item.store = &store;
  std::vector<double> want(static_cast<std::size_t>(s.queries * s.q_heads * d));
  rota::reference::attend(item, {}, rota::view<double, 3>(want.data(), s.queries, s.q_heads, d));
  double worst = 0;
  for (std::size_t r = 0; r < want.size(); r += d) {
    double difference = 0, size = 0;
    for (std::size_t c = r; c < r + d; ++c) {
      const auto value = static_cast<double>(static_cast<float>(got[c]));
      if (value != value) return INFINITY;
      difference = std::fmax(difference, std::fabs(value - want[c]));
      size = std::fmax(size, std::fabs(want[c]));
    }
    worst = std::fmax(worst, difference / size);
  }
  return worst;
}

/// The rows themselves.
struct dense_batch {
  rows_of_batch rows;
  std::vector<rota::dense_store<bf16>> stores;
  double bytes;

  dense_batch(const rota::cuda::backend&, const shape& s, unsigned seed, const kept&)
      : rows(s, seed), bytes(dense_bytes(s)) {
    for (index_t i = 0; i < s.batch; ++i) {
      const index_t offset = i * s.context * s.kv_heads * d;
      rota::dense_store<bf16> store;
      store.keys = rota::view<bf16, 3>(rows.keys.data() + offset, s.kv_heads, s.context, d);
      store.values = rota::view<bf16, 3>(rows.values.data() + offset, s.kv_heads, s.context, d);
      store.length = s.context;
      stores.push_back(store);
    }
  }
  double error(const answers& a) const {
    std::vector<bf16> keys = rows.keys.download(), values = rows.values.download();
    rota::dense_store<bf16> host = stores[0];
    host.keys.data = keys.data();
    host.values.data = values.data();
    return error_of(rows.s, a, host);
  }
};

/// The same memory taken as pages, of which a table tells the order.
struct paged_batch {
  rows_of_batch rows;
  std::vector<std::int32_t> host_table;
  memory<std::int32_t> table;
  std::vector<rota::paged_store<bf16>> stores;
  double bytes;

  paged_batch(const rota::cuda::backend&, const shape& s, unsigned seed, const kept&)
      : rows(s, seed),
        host_table(shuffled(s.context / page_tokens)),
        table(host_table.size()),
        bytes(dense_bytes(s)) {
    expect(cudaMemcpy(table.data(), host_table.data(), host_table.size() * sizeof(std::int32_t),
                      cudaMemcpyHostToDevice),
           "table");
    const index_t size = s.context * s.kv_heads * d;
    for (index_t i = 0; i < s.batch; ++i)
      stores.push_back(
          over(s, rows.keys.data() + i * size, rows.values.data() + i * size, table.data()));
  }
  double error(const answers& a) const {
    std::vector<bf16> keys = rows.keys.download(), values = rows.values.download();
    return error_of(rows.s, a, over(rows.s, keys.data(), values.data(), host_table.data()));
  }

 private:
  static rota::paged_store<bf16> over(const shape& s, bf16* keys, bf16* values,
                                      const std::int32_t* table) {
    const index_t pages = s.context / page_tokens;
    rota::paged_store<bf16> store;
    store.key_pages = rota::view<bf16, 4>(keys, pages, s.kv_heads, page_tokens, d);
    store.value_pages = rota::view<bf16, 4>(values, pages, s.kv_heads, page_tokens, d);
    store.block_table = rota::view<const std::int32_t, 1>(table, pages);
    store.length = pages * page_tokens;
    return store;
  }
  /// A step that has no divisor in common with the number of pages meets every page once.
  static std::vector<std::int32_t> shuffled(index_t pages) {
    index_t step = 37;
    while (std::gcd(step, pages) != 1) ++step;
    std::vector<std::int32_t> t;
    for (index_t p = 0; p < pages; ++p) t.push_back(static_cast<std::int32_t>(p * step % pages));
    return t;
  }
};

/// Packed stores, each in memory of just its size.
struct packed_batch {
  shape s;
  std::vector<memory<std::byte>> data;
  std::vector<op::store_type> stores;
  double bytes = 0;

  packed_batch(const rota::cuda::backend& b, const shape& shape_, unsigned seed, const kept& k)
      : s(shape_) {
    const rows_of_batch rows(s, seed);
    const op::params p = params_of(k);
    const auto first = rows.context(0);
    const memory<std::byte> ws(op::compress_workspace_bytes(b, first, p));
    const memory<std::byte> large(static_cast<std::size_t>(op::max_store_bytes(first, p)));
    for (index_t i = 0; i < s.batch; ++i) {
      op::store_type store;
      store.data = large.data();
      store.capacity_bytes = static_cast<index_t>(large.size());
      expect(op::compress(b, rows.context(i), p, store, {ws.data(), ws.size()}), "compress");
      const auto size = static_cast<std::size_t>(header_of(store).bytes);
      data.emplace_back(size);
      expect(cudaMemcpy(data.back().data(), large.data(), size, cudaMemcpyDeviceToDevice), "store");
      store.data = data.back().data();
      store.capacity_bytes = static_cast<index_t>(size);
      stores.push_back(store);
      bytes += static_cast<double>(size);
    }
  }
  double error(const answers& a) const {
    const host_copy host(stores[0].data, data[0].size());
    return error_of(s, a, host.store);
  }
};

}  // namespace bench

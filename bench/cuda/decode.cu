// decode [--out FILE.json] [--quick]: one step of decoding over dense, paged and packed stores on a
// GPU.
//
// Every case replays a captured graph that attends over several copies of the batch, together at
// least four times the L2 cache, so that nothing is found there. bytes_per_second counts the store
// as read once; copy_fraction compares it with a copy inside the device (read plus written)
// measured in the same run. Each kind of store is checked against the double reference before it is
// timed.

#include <cmath>
#include <memory>

#include <rota/attend/reference.hpp>

#include "layer.cuh"

namespace {

using bench::bf16;
using bench::d;
using bench::expect;
using bench::index_t;
using bench::kept;
using bench::op;
using bench::rows_of_batch;
using bench::shape;

/// As engines have them: queries and outputs of the store's element.
template <class Store>
using item_of = rota::attend_item<Store, bf16>;

/// Queries and outputs of a batch.
struct answers {
  bench::memory<bf16> q, out;
  explicit answers(const shape& s)
      : q(static_cast<std::size_t>(s.batch * s.queries * s.q_heads * d)), out(q.size()) {
    bench::fill(q, 99);
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

/// The dense stores of a batch: the rows themselves.
std::vector<rota::dense_store<bf16>> dense_stores(const rows_of_batch& rows) {
  std::vector<rota::dense_store<bf16>> stores;
  const shape& s = rows.s;
  for (index_t i = 0; i < s.batch; ++i) {
    const index_t offset = i * s.context * s.kv_heads * d;
    rota::dense_store<bf16> store;
    store.keys = rota::view<bf16, 3>(rows.keys.data() + offset, s.kv_heads, s.context, d);
    store.values = rota::view<bf16, 3>(rows.values.data() + offset, s.kv_heads, s.context, d);
    store.length = s.context;
    stores.push_back(store);
  }
  return stores;
}

/// The paged stores of a batch: the same memory taken as pages, of which a table tells the order.
struct paged_batch {
  static constexpr index_t page_tokens = 16;
  std::vector<std::int32_t> host_table;
  bench::memory<std::int32_t> table;
  std::vector<rota::paged_store<bf16>> stores;

  explicit paged_batch(const rows_of_batch& rows)
      : host_table(shuffled(rows.s.context / page_tokens)), table(host_table.size()) {
    expect(cudaMemcpy(table.data(), host_table.data(), host_table.size() * sizeof(std::int32_t),
                      cudaMemcpyHostToDevice),
           "table");
    const index_t size = rows.s.context * rows.s.kv_heads * d;
    for (index_t i = 0; i < rows.s.batch; ++i)
      stores.push_back(
          over(rows.s, rows.keys.data() + i * size, rows.values.data() + i * size, table.data()));
  }
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

 private:
  /// A step of a prime that no number of pages here is a multiple of meets every page once.
  static std::vector<std::int32_t> shuffled(index_t pages) {
    std::vector<std::int32_t> t;
    for (index_t p = 0; p < pages; ++p) t.push_back(static_cast<std::int32_t>(p * 37 % pages));
    return t;
  }
};

/// The packed stores of a batch, each in memory of just its size.
struct packed_batch {
  std::vector<std::unique_ptr<bench::memory<std::byte>>> memory;
  std::vector<op::store_type> stores;
  double bytes = 0;

  packed_batch(const rota::cuda::backend& b, const rows_of_batch& rows, const kept& k) {
    const op::params p = k.params();
    const auto first = rows.context(0);
    const bench::memory<std::byte> ws(op::compress_workspace_bytes(b, first, p));
    const bench::memory<std::byte> large(static_cast<std::size_t>(op::max_store_bytes(first, p)));
    for (index_t i = 0; i < rows.s.batch; ++i) {
      op::store_type store;
      store.data = large.data();
      store.capacity_bytes = static_cast<index_t>(large.size());
      expect(op::compress(b, rows.context(i), p, store, {ws.data(), ws.size()}), "compress");
      const rota::packed_header header = bench::header_of(store);
      memory.push_back(std::make_unique<bench::memory<std::byte>>(header.bytes));
      expect(
          cudaMemcpy(memory.back()->data(), large.data(), header.bytes, cudaMemcpyDeviceToDevice),
          "store");
      store.data = memory.back()->data();
      store.capacity_bytes = static_cast<index_t>(header.bytes);
      stores.push_back(store);
      bytes += static_cast<double>(header.bytes);
    }
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
      difference = std::fmax(difference,
                             std::fabs(static_cast<double>(static_cast<float>(got[c])) - want[c]));
      size = std::fmax(size, std::fabs(want[c]));
    }
    worst = std::fmax(worst, difference / size);
  }
  return worst;
}

template <class Store>
void attend(const rota::cuda::backend& b, const std::vector<item_of<Store>>& items,
            const bench::memory<std::byte>& ws) {
  expect(rota::cuda::attend(b, std::span<const item_of<Store>>(items), {}, {ws.data(), ws.size()}),
         "attend");
}
template <class Store>
bench::memory<std::byte> workspace_of(const rota::cuda::backend& b,
                                      const std::vector<item_of<Store>>& items) {
  return bench::memory<std::byte>(std::max<std::size_t>(
      64, rota::cuda::attend_workspace_bytes(b, std::span<const item_of<Store>>(items), {})));
}

/// A small batch of either kind against the reference, before anything is timed.
void check(const rota::cuda::backend& b, const shape& like, const kept* k, bool in_pages) {
  const shape s{1, 1024, like.q_heads, like.kv_heads, like.queries};
  const rows_of_batch rows(s, 7);
  const answers a(s);
  double error = 0;
  if (in_pages) {
    const paged_batch paged(rows);
    const auto items = a.items(s, paged.stores);
    attend(b, items, workspace_of(b, items));
    std::vector<bf16> keys = rows.keys.download(), values = rows.values.download();
    error =
        error_of(s, a, paged_batch::over(s, keys.data(), values.data(), paged.host_table.data()));
  } else if (k == nullptr) {
    const auto stores = dense_stores(rows);
    const auto items = a.items(s, stores);
    attend(b, items, workspace_of(b, items));
    std::vector<bf16> keys = rows.keys.download(), values = rows.values.download();
    rota::dense_store<bf16> host = stores[0];
    host.keys.data = keys.data();
    host.values.data = values.data();
    error = error_of(s, a, host);
  } else {
    const packed_batch packed(b, rows, *k);
    const auto items = a.items(s, packed.stores);
    attend(b, items, workspace_of(b, items));
    const bench::host_copy host(packed.stores[0].data, packed.memory[0]->size());
    error = error_of(s, a, host.store);
  }
  if (!(error < 6e-3)) {  // of it 2e-3 for outputs of bf16
    std::fprintf(stderr, "wrong: error %g\n", error);
    std::exit(1);
  }
}

/// Times one case. `k` null: dense, or in pages.
bench::row measure(const bench::machine& m, const shape& s, const kept* k, bool in_pages,
                   int replays) {
  rota::cuda::backend b = m.backend;
  check(b, s, k, in_pages);
  const double dense_bytes = bench::dense_bytes(s);
  const double one = k == nullptr ? dense_bytes : dense_bytes * k->tokens * (1 + k->groups) / 2;
  const int copies = m.copies_of(one);
  std::vector<std::unique_ptr<rows_of_batch>> rows;
  std::vector<std::unique_ptr<packed_batch>> packed;
  std::vector<std::unique_ptr<paged_batch>> paged;
  std::vector<std::vector<rota::dense_store<bf16>>> dense;
  const answers a(s);
  std::vector<std::vector<item_of<op::store_type>>> packed_items;
  std::vector<std::vector<item_of<rota::paged_store<bf16>>>> paged_items;
  std::vector<std::vector<item_of<rota::dense_store<bf16>>>> dense_items;
  for (int i = 0; i < copies; ++i) {
    rows.push_back(std::make_unique<rows_of_batch>(s, static_cast<unsigned>(10 + 2 * i)));
    if (in_pages) {
      paged.push_back(std::make_unique<paged_batch>(*rows.back()));
    } else if (k == nullptr) {
      dense.push_back(dense_stores(*rows.back()));
    } else {
      packed.push_back(std::make_unique<packed_batch>(b, *rows.back(), *k));
      rows.clear();
    }
  }
  for (const auto& p : packed) packed_items.push_back(a.items(s, p->stores));
  for (const auto& p : paged) paged_items.push_back(a.items(s, p->stores));
  for (const auto& stores : dense) dense_items.push_back(a.items(s, stores));
  const bench::memory<std::byte> ws = in_pages       ? workspace_of(b, paged_items[0])
                                      : k == nullptr ? workspace_of(b, dense_items[0])
                                                     : workspace_of(b, packed_items[0]);
  const double us = bench::median_microseconds(
                        [&](cudaStream_t stream) {
                          b.stream = stream;
                          for (const auto& items : packed_items) attend(b, items, ws);
                          for (const auto& items : paged_items) attend(b, items, ws);
                          for (const auto& items : dense_items) attend(b, items, ws);
                        },
                        replays) /
                    copies;
  const double bytes = k == nullptr ? dense_bytes : packed[0]->bytes;
  const char* const name = in_pages ? "paged" : k == nullptr ? "dense" : k->name;
  return {"decode", s, name, bytes / dense_bytes, us, bytes};
}

}  // namespace

int main(int argc, char** argv) {
  const bench::options given = bench::options_of(argc, argv);
  if (!bench::machine::is_there()) {
    std::puts("no GPU: nothing measured");
    return 0;
  }
  const bench::machine m;
  bench::report report(given, m);
  std::vector<const kept*> kinds{nullptr};
  for (const kept& k : bench::packed_kinds) kinds.push_back(&k);
  for (const kept& k : bench::token_kinds) kinds.push_back(&k);
  std::vector<std::pair<index_t, index_t>> sizes{{1, 32768}};
  if (!given.quick) sizes.insert(sizes.end(), {{8, 8192}, {32, 8192}, {64, 16384}});
  for (const auto& [batch, context] : sizes)
    for (const index_t q_heads : {index_t{32}, index_t{64}})
      for (const index_t queries : {index_t{1}, index_t{4}, index_t{16}})
        for (const bool in_pages : {false, true})
          for (const kept* k : kinds)
            if (!in_pages || k == nullptr)
              report.add(measure(m, {batch, context, q_heads, 8, queries}, k, in_pages,
                                 given.quick ? 10 : 30));
  m.expect_no_fault();
  return report.close() ? 0 : 1;
}

// decode [--out FILE.json] [--quick]: one step of decoding over dense and packed stores on a GPU.
//
// Every case replays a captured graph that attends over several copies of the batch, together at
// least four times the L2 cache, so that nothing is found there. bytes_per_second counts the store
// as read once; copy_fraction compares it with a copy inside the device (read plus written)
// measured in the same run. Each kind of store is checked against the double reference before it is
// timed.

#include <cmath>
#include <cstring>
#include <memory>
#include <string>

#include <rota/attend/attention.hpp>
#include <rota/attend/reference.hpp>
#include <rota/budget/keep_ratio.hpp>
#include <rota/cuda/cuda.cuh>
#include <rota/fill/mean.hpp>
#include <rota/score/key_norm.hpp>
#include <rota/score/value_norm.hpp>

#include "device.cuh"

namespace {

using rota::bf16;
using rota::index_t;
constexpr index_t d = 128;
constexpr int width = 16;

using op = rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>,
                           rota::groups<rota::value_norm, rota::keep_ratio>,
                           rota::cuda::packed<bf16, width>, rota::mean_fill>;

struct shape {
  index_t batch, context, q_heads, kv_heads, queries;
};

/// What is kept: a ratio of tokens, and of the groups of those.
struct kept {
  const char* name;
  double tokens, groups;
};

struct row {
  shape s;
  std::string store;
  double kv_bytes_ratio, microseconds, bytes_per_second, copy_fraction;
};

void expect(const rota::status& s, const char* what) {
  if (s.ok()) return;
  std::fprintf(stderr, "%s: %s (%s)\n", what, s.what(), s.argument);
  std::exit(1);
}

/// Keys and values of a batch, head by head: [batch][kv_heads][context][d].
struct rows_of_batch {
  shape s;
  bench::memory<bf16> keys, values;

  rows_of_batch(const shape& shape_, unsigned seed)
      : s(shape_),
        keys(static_cast<std::size_t>(s.batch * s.context * s.kv_heads * d)),
        values(keys.size()) {
    bench::fill(keys, seed);
    bench::fill(values, seed + 1);
  }
  rota::context<bf16> context(index_t i) const {
    rota::context<bf16> c;
    const index_t offset = i * s.context * s.kv_heads * d;
    c.keys = rota::view<const bf16, 3>(keys.data() + offset, {s.context, s.kv_heads, d},
                                       {d, s.context * d, 1});
    c.values = rota::view<const bf16, 3>(values.data() + offset, {s.context, s.kv_heads, d},
                                         {d, s.context * d, 1});
    return c;
  }
};

/// Queries and outputs of a batch.
struct answers {
  bench::memory<float> q, out;
  explicit answers(const shape& s)
      : q(static_cast<std::size_t>(s.batch * s.queries * s.q_heads * d)), out(q.size()) {
    bench::fill(q, 99);
  }
  template <class Store>
  std::vector<rota::attend_item<Store>> items(const shape& s,
                                              const std::vector<Store>& stores) const {
    std::vector<rota::attend_item<Store>> batch;
    const index_t size = s.queries * s.q_heads * d;
    for (index_t i = 0; i < s.batch; ++i) {
      rota::attend_item<Store> item;
      item.q = rota::view<const float, 3>(q.data() + i * size, s.queries, s.q_heads, d);
      item.out = rota::view<float, 3>(out.data() + i * size, s.queries, s.q_heads, d);
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

/// The packed stores of a batch, each in memory of just its size.
struct packed_batch {
  std::vector<std::unique_ptr<bench::memory<std::byte>>> memory;
  std::vector<op::store_type> stores;
  double bytes = 0;

  packed_batch(const rota::cuda::backend& b, const rows_of_batch& rows, const kept& k) {
    op::params p;
    p.tokens.budget.ratio = k.tokens;
    p.groups.budget.ratio = k.groups;
    p.store.tail_capacity = 0;
    const auto first = rows.context(0);
    const bench::memory<std::byte> ws(op::compress_workspace_bytes(b, first, p));
    const bench::memory<std::byte> large(static_cast<std::size_t>(op::max_store_bytes(first, p)));
    for (index_t i = 0; i < rows.s.batch; ++i) {
      op::store_type store;
      store.data = large.data();
      store.capacity_bytes = static_cast<index_t>(large.size());
      expect(op::compress(b, rows.context(i), p, store, {ws.data(), ws.size()}), "compress");
      rota::packed_header header;
      bench::expect(cudaMemcpy(&header, large.data(), sizeof header, cudaMemcpyDeviceToHost),
                    "header");
      memory.push_back(std::make_unique<bench::memory<std::byte>>(header.bytes));
      bench::expect(
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
  std::vector<float> q = a.q.download();
  for (float& x : q) x = static_cast<float>(bf16(x));
  const std::vector<float> got = a.out.download();
  rota::attend_item<HostStore> item;
  item.q = rota::view<const float, 3>(q.data(), s.queries, s.q_heads, d);
  item.store = &store;
  std::vector<double> want(static_cast<std::size_t>(s.queries * s.q_heads * d));
  rota::reference::attend(item, {}, rota::view<double, 3>(want.data(), s.queries, s.q_heads, d));
  double worst = 0;
  for (std::size_t r = 0; r < want.size(); r += d) {
    double difference = 0, size = 0;
    for (std::size_t c = r; c < r + d; ++c) {
      difference = std::fmax(difference, std::fabs(static_cast<double>(got[c]) - want[c]));
      size = std::fmax(size, std::fabs(want[c]));
    }
    worst = std::fmax(worst, difference / size);
  }
  return worst;
}

template <class Store>
void attend(const rota::cuda::backend& b, const std::vector<rota::attend_item<Store>>& items,
            const bench::memory<std::byte>& ws) {
  expect(rota::cuda::attend(b, std::span<const rota::attend_item<Store>>(items), {},
                            {ws.data(), ws.size()}),
         "attend");
}
template <class Store>
bench::memory<std::byte> workspace_of(const rota::cuda::backend& b,
                                      const std::vector<rota::attend_item<Store>>& items) {
  return bench::memory<std::byte>(std::max<std::size_t>(
      64,
      rota::cuda::attend_workspace_bytes(b, std::span<const rota::attend_item<Store>>(items), {})));
}

/// A small batch of either kind against the reference, before anything is timed.
void check(const rota::cuda::backend& b, const shape& like, const kept* k) {
  const shape s{1, 1024, like.q_heads, like.kv_heads, like.queries};
  const rows_of_batch rows(s, 7);
  const answers a(s);
  double error = 0;
  if (k == nullptr) {
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
    const std::vector<std::byte> bytes = packed.memory[0]->download();
    auto* const copy =
        static_cast<std::byte*>(std::aligned_alloc(64, (bytes.size() + 63) / 64 * 64));
    std::copy(bytes.begin(), bytes.end(), copy);
    rota::cuda::packed<bf16, width>::host_form::store_type host{copy,
                                                                static_cast<index_t>(bytes.size())};
    expect(rota::cuda::to_host_form<rota::cuda::banked>(host), "host form");
    error = error_of(s, a, host);
    std::free(copy);
  }
  if (!(error < 4e-3)) {
    std::fprintf(stderr, "wrong: error %g\n", error);
    std::exit(1);
  }
}

/// Times one case. `k` null: dense.
row measure(rota::cuda::backend b, const shape& s, const kept* k, double copy_rate,
            std::size_t l2_bytes, int replays) {
  check(b, s, k);
  const double dense_bytes = 4.0 * static_cast<double>(s.batch * s.context * s.kv_heads * d);
  const double one = k == nullptr ? dense_bytes : dense_bytes * k->tokens * (1 + k->groups) / 2;
  const int copies = 1 + static_cast<int>(4.0 * static_cast<double>(l2_bytes) / one);
  std::vector<std::unique_ptr<rows_of_batch>> rows;
  std::vector<std::unique_ptr<packed_batch>> packed;
  std::vector<std::vector<rota::dense_store<bf16>>> dense;
  const answers a(s);
  std::vector<std::vector<rota::attend_item<op::store_type>>> packed_items;
  std::vector<std::vector<rota::attend_item<rota::dense_store<bf16>>>> dense_items;
  for (int i = 0; i < copies; ++i) {
    rows.push_back(std::make_unique<rows_of_batch>(s, static_cast<unsigned>(10 + 2 * i)));
    if (k == nullptr) {
      dense.push_back(dense_stores(*rows.back()));
    } else {
      packed.push_back(std::make_unique<packed_batch>(b, *rows.back(), *k));
      rows.clear();
    }
  }
  for (const auto& p : packed) packed_items.push_back(a.items(s, p->stores));
  for (const auto& stores : dense) dense_items.push_back(a.items(s, stores));
  const bench::memory<std::byte> ws =
      k == nullptr ? workspace_of(b, dense_items[0]) : workspace_of(b, packed_items[0]);
  const double us = bench::median_microseconds(
                        [&](cudaStream_t stream) {
                          b.stream = stream;
                          for (const auto& items : packed_items) attend(b, items, ws);
                          for (const auto& items : dense_items) attend(b, items, ws);
                        },
                        replays) /
                    copies;
  const double bytes = k == nullptr ? dense_bytes : packed[0]->bytes;
  const double rate = bytes / us * 1e6;
  return {s, k == nullptr ? "dense" : k->name, bytes / dense_bytes, us, rate, rate / copy_rate};
}

void print(std::FILE* out, const row& r, bool first) {
  std::fprintf(
      out,
      "%s\n    {\"case\": \"decode\", \"batch\": %lld, \"context\": %lld, \"q_heads\": %lld, "
      "\"kv_heads\": %lld, \"query_tokens\": %lld, \"store\": \"%s\", "
      "\"kv_bytes_ratio\": %.4f, \"microseconds\": %.2f, \"bytes_per_second\": %.4g, "
      "\"copy_fraction\": %.3f, \"peer\": \"rota\"}",
      first ? "" : ",", static_cast<long long>(r.s.batch), static_cast<long long>(r.s.context),
      static_cast<long long>(r.s.q_heads), static_cast<long long>(r.s.kv_heads),
      static_cast<long long>(r.s.queries), r.store.c_str(), r.kv_bytes_ratio, r.microseconds,
      r.bytes_per_second, r.copy_fraction);
}

}  // namespace

int main(int argc, char** argv) {
  const char* out_path = nullptr;
  bool quick = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--out") == 0 && i + 1 < argc) {
      out_path = argv[++i];
    } else if (std::strcmp(argv[i], "--quick") == 0) {
      quick = true;
    } else {
      std::fprintf(stderr, "usage: decode [--out FILE.json] [--quick]\n");
      return 2;
    }
  }
  cudaDeviceProp device{};
  int driver = 0;
  if (cudaGetDeviceProperties(&device, 0) != cudaSuccess) {
    std::puts("no GPU: nothing measured");
    return 0;
  }
  cudaDriverGetVersion(&driver);
  const bench::memory<std::uint32_t> fault(1);
  bench::expect(cudaMemset(fault.data(), 0, 4), "fault word");
  const rota::cuda::backend b = rota::cuda::make_backend(nullptr, fault.data());
  const double copy_rate = bench::copy_bytes_per_second();
  std::printf("%s, driver %d, copies at %.3g bytes/s\n", device.name, driver, copy_rate);

  std::FILE* const out = out_path != nullptr ? std::fopen(out_path, "w") : nullptr;
  if (out_path != nullptr && out == nullptr) {
    std::fprintf(stderr, "cannot write %s\n", out_path);
    return 1;
  }
  if (out != nullptr)
    std::fprintf(out,
                 "{\"gpu\": \"%s\", \"driver\": %d, \"copy_bytes_per_second\": %.4g, \"rows\": [",
                 device.name, driver, copy_rate);
  // Half of the groups of every survivor; then whole tokens at the same bytes.
  const kept kinds[] = {{"packed 75%", 1, 0.5},     {"packed 50%", 2.0 / 3, 0.5},
                        {"packed 37.5%", 0.5, 0.5}, {"packed 25%", 1.0 / 3, 0.5},
                        {"tokens 75%", 0.75, 1},    {"tokens 50%", 0.5, 1},
                        {"tokens 37.5%", 0.375, 1}, {"tokens 25%", 0.25, 1}};
  const std::vector<std::pair<index_t, index_t>> sizes =
      quick ? std::vector<std::pair<index_t, index_t>>{{1, 32768}}
            : std::vector<std::pair<index_t, index_t>>{
                  {1, 32768}, {8, 8192}, {32, 8192}, {64, 16384}};
  std::printf("%5s %7s %5s %4s  %-13s %6s %10s %8s\n", "batch", "context", "heads", "q", "store",
              "bytes", "us", "of copy");
  bool first = true;
  for (const auto& [batch, context] : sizes)
    for (const index_t q_heads : {index_t{32}, index_t{64}})
      for (const index_t queries : {index_t{1}, index_t{4}, index_t{16}})
        for (int kind = -1; kind < 8; ++kind) {
          const shape s{batch, context, q_heads, 8, queries};
          const row r = measure(b, s, kind < 0 ? nullptr : &kinds[kind], copy_rate,
                                static_cast<std::size_t>(device.l2CacheSize), quick ? 10 : 30);
          std::printf("%5lld %7lld %3lld/8 %4lld  %-13s %5.1f%% %10.2f %8.3f\n",
                      static_cast<long long>(batch), static_cast<long long>(context),
                      static_cast<long long>(q_heads), static_cast<long long>(queries),
                      r.store.c_str(), 100 * r.kv_bytes_ratio, r.microseconds, r.copy_fraction);
          std::fflush(stdout);
          if (out != nullptr) print(out, r, first);
          first = false;
        }
  if (out != nullptr) {
    std::fprintf(out, "\n]}\n");
    if (std::fclose(out) != 0) return 1;
  }
  const rota::status fault_status = rota::cuda::status_of_fault(fault.download()[0]);
  expect(fault_status, "fault");
}

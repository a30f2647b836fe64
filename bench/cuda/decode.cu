// decode: one step of decoding over dense, paged and packed stores on a GPU. `decode --help` lists
// the options.
//
// Every case replays a captured graph that attends over several copies of the batch, together at
// least four times the L2 cache, so that nothing is found there. bytes_per_second counts the store
// as read once; copy_fraction compares it with a copy inside the device (read plus written)
// measured in the same run. Each kind of store is checked against the double reference before it is
// timed.

#include <set>
#include <tuple>

#include "decode_batches.cuh"

namespace {

using bench::expect;
using bench::shape;

template <class Store>
void attend(const rota::cuda::backend& b, const std::vector<bench::item_of<Store>>& items,
            const bench::memory<std::byte>& ws) {
  using item = bench::item_of<Store>;
  expect(rota::cuda::attend(b, std::span<const item>(items), {}, {ws.data(), ws.size()}), "attend");
}
template <class Store>
bench::memory<std::byte> workspace_of(const rota::cuda::backend& b,
                                      const std::vector<bench::item_of<Store>>& items) {
  using item = bench::item_of<Store>;
  return bench::memory<std::byte>(std::max<std::size_t>(
      64, rota::cuda::attend_workspace_bytes(b, std::span<const item>(items), {})));
}

/// A small batch against the reference, before anything is timed.
template <class Batch>
void check(const bench::machine& m, const bench::decode_case& c) {
  const shape s{1, 1024, c.s.q_heads, c.s.kv_heads, c.s.queries};
  const Batch batch(m.backend, s, 7, c.store.ratios);
  const bench::answers a(s);
  const auto items = a.items(s, batch.stores);
  attend(m.backend, items, workspace_of(m.backend, items));
  m.expect_no_fault();
  const double error = batch.error(a);
  if (error < 6e-3) return;  // of it 2e-3 for outputs of bf16
  std::fprintf(stderr, "wrong: error %g; %s\n", error,
               bench::line_of("decode", s, c.store.name).c_str());
  std::exit(1);
}

/// The step without a graph, once: what profilers and sanitizers look at.
template <class Batch>
void run_once(const bench::machine& m, const bench::decode_case& c) {
  const Batch batch(m.backend, c.s, 10, c.store.ratios);
  const bench::answers a(c.s);
  const auto items = a.items(c.s, batch.stores);
  attend(m.backend, items, workspace_of(m.backend, items));
  m.expect_no_fault();
  std::printf("ran %s\n", bench::line_of("decode", c.s, c.store.name).c_str());
}

template <class Batch>
bench::row measure(const bench::machine& m, const bench::decode_case& c, int replays) {
  rota::cuda::backend b = m.backend;
  const bench::kept& k = c.store.ratios;
  const double dense = bench::dense_bytes(c.s);
  const int copies = m.copies_of(dense * k.tokens * (1 + k.groups) / 2);
  const bench::answers a(c.s);
  std::vector<std::unique_ptr<Batch>> batches;
  std::vector<decltype(a.items(c.s, batches[0]->stores))> items;
  for (int i = 0; i < copies; ++i) {
    batches.push_back(std::make_unique<Batch>(b, c.s, static_cast<unsigned>(10 + 2 * i), k));
    items.push_back(a.items(c.s, batches.back()->stores));
  }
  const bench::memory<std::byte> ws = workspace_of(b, items[0]);
  const auto step = [&](cudaStream_t stream) {
    b.stream = stream;
    for (const auto& batch : items) attend(b, batch, ws);
  };
  const double us = bench::median_microseconds(step, replays) / copies;
  m.expect_no_fault();
  const double bytes = batches[0]->bytes;
  return {"decode", c.s, c.store.name, bytes / dense, us, bytes};
}

/// Calls f with a batch type for the case's store.
template <class F>
auto with_batch(const bench::decode_case& c, F&& f) {
  switch (c.store.form) {
    case bench::layout::dense:
      return f.template operator()<bench::dense_batch>();
    case bench::layout::paged:
      return f.template operator()<bench::paged_batch>();
    default:
      return f.template operator()<bench::packed_batch>();
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bench::options given = bench::options_of(argc, argv, "One step of decoding on a GPU", true);
  if (given.list) {
    for (const bench::decode_case& c : given.cases)
      std::puts(bench::line_of("decode", c.s, c.store.name).c_str());
    return 0;
  }
  const bench::machine m;
  std::set<std::tuple<bench::index_t, bench::index_t, std::string>> checked;
  const auto check_new = [&](const bench::decode_case& c) {
    if (checked.emplace(c.s.q_heads, c.s.queries, c.store.name).second)
      with_batch(c, [&]<class Batch>() { check<Batch>(m, c); });
  };
  if (given.once) {
    for (const bench::decode_case& c : given.cases) {
      check_new(c);
      with_batch(c, [&]<class Batch>() { run_once<Batch>(m, c); });
    }
    return 0;
  }
  bench::report report(given, m);
  for (const bench::decode_case& c : given.cases) {
    check_new(c);
    report.add(
        with_batch(c, [&]<class Batch>() { return measure<Batch>(m, c, given.quick ? 10 : 30); }));
  }
  return 0;
}

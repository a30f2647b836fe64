#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "fixture.hpp"

// Which value order and how many tokens a record should have on a CPU. Lines layouts/...: one
// iteration attends once over the dense bf16 store and once over the packed one, so that what
// disturbs the machine disturbs both; time_over_bytes is the median of (packed time / dense time)
// over (packed bytes / dense bytes). Below 1.2 is the goal (docs/layouts.md keeps the findings).

namespace {

using namespace rota_bench;
using rota::bf16;
using rota::value_order;

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

/// Every pass reads 268 MB: what lies in a cache at its end is not what the next one starts with.
decode_shape shape_of(index_t d) {
  decode_shape shape;
  shape.d = d;
  shape.tokens = 65536 * 128 / d;
  return shape;
}

template <index_t D>
const dense_kv<bf16>& dense_of() {
  static const dense_kv<bf16> kv(shape_of(D));
  return kv;
}

/// Half of the tokens of every head, of them `rho` of the groups.
template <value_order Order, int Records>
void compare(benchmark::State& state, index_t d, double rho, int threads) {
  using layout = rota::packed<bf16, 16, Order, Records>;
  const decode_shape shape = shape_of(d);
  const dense_kv<bf16>& dense = d == 64 ? dense_of<64>() : dense_of<128>();
  const packed_kv<layout> packed(shape, dense, 0.5, rho);
  rotating_decode<rota::dense_store<bf16>> over_dense(shape, {dense.store});
  rotating_decode<typename layout::store_type> over_packed(shape, {packed.store});
  rota::cpu::thread_pool pool(threads);
  const rota::cpu::backend b = pool.get_backend();
  std::vector<double> ratios, packed_times, dense_times;
  for (auto _ : state) {
    dense_times.push_back(over_dense.step(b));
    packed_times.push_back(over_packed.step(b));
    ratios.push_back(packed_times.back() / dense_times.back());
    state.SetIterationTime(packed_times.back());
  }
  const double bytes =
      static_cast<double>(packed.store.sealed_bytes()) / static_cast<double>(dense.store.bytes());
  state.counters["byte_ratio"] = bytes;
  state.counters["time_ratio"] = median(ratios);
  state.counters["time_over_bytes"] = median(ratios) / bytes;
  state.counters["best_over_bytes"] = *std::min_element(packed_times.begin(), packed_times.end()) /
                                      *std::min_element(dense_times.begin(), dense_times.end()) /
                                      bytes;
}

template <value_order Order, int Records>
void add_lines(const char* name) {
  for (const index_t d : {64, 128})
    for (const double rho : {0.25, 0.5, 0.75})
      for (const int threads : {1, 2}) {
        const std::string line = "layouts/" + std::string(name) + "/d" + std::to_string(d) +
                                 "/rho" + std::to_string(static_cast<int>(rho * 100)) +
                                 "/threads:" + std::to_string(threads);
        benchmark::RegisterBenchmark(
            line.c_str(),
            [=](benchmark::State& state) { compare<Order, Records>(state, d, rho, threads); })
            ->UseManualTime()
            ->Iterations(25)
            ->Unit(benchmark::kMillisecond);
      }
}

[[maybe_unused]] const bool registered = [] {
  add_lines<value_order::group_major, 256>("group_major_256");
  add_lines<value_order::group_major, 128>("group_major_128");
  add_lines<value_order::group_major, 64>("group_major_64");
  add_lines<value_order::token_major, 128>("token_major_128");
  add_lines<value_order::token_major, 64>("token_major_64");
  return true;
}();

}  // namespace

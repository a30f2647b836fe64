#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "fixture.hpp"
#include "lines.hpp"

// Which value order and how many tokens a record should have on a CPU. Lines layouts/...: one
// iteration attends once over the dense bf16 store and once over the packed one, so that what
// disturbs the machine disturbs both; time_over_bytes is the median of (packed time / dense time)
// over (packed bytes / dense bytes). Below 1.2 is the goal (docs/layouts.md keeps the findings).

namespace {

using namespace rota_bench;
using rota::bf16;
using rota::value_order;

/// Every pass reads 268 MB: what lies in a cache at its end is not what the next one starts with.
kv_shape shape_of(index_t d) {
  return {8, 65536 * 128 / d, d};
}

template <index_t D>
struct dense_cache {
  layer_rows rows{shape_of(D)};
  rotating<dense_kv<bf16>> stores{shape_of(D), dense_kv<bf16>(shape_of(D), rows)};
};
template <index_t D>
dense_cache<D>& dense_of() {
  static dense_cache<D> cache;
  return cache;
}

/// Half of the tokens of every head, of them `rho` of the groups.
template <index_t D, value_order Order, int Records>
void compare(benchmark::State& state, double rho, int threads) {
  using kv = packed_kv<rota::packed<bf16, 16, Order, Records>>;
  const kv_shape shape = shape_of(D);
  dense_cache<D>& dense = dense_of<D>();
  rotating<kv> packed(shape, kv(shape, dense.rows, 0.5, rho));
  attend_step<rota::dense_store<bf16>> over_dense(shape, 4, 1);
  attend_step<typename kv::store_type> over_packed(shape, 4, 1);
  rota::cpu::thread_pool pool(threads);
  const rota::cpu::backend b = pool.get_backend();
  std::vector<double> ratios, packed_times, dense_times;
  for (auto _ : state) {
    dense_times.push_back(over_dense.seconds(b, dense.stores.next()));
    packed_times.push_back(over_packed.seconds(b, packed.next()));
    ratios.push_back(packed_times.back() / dense_times.back());
    state.SetIterationTime(packed_times.back());
  }
  const double bytes =
      static_cast<double>(packed.next().sealed_bytes()) / static_cast<double>(dense.stores.bytes());
  state.counters["byte_ratio"] = bytes;
  state.counters["time_ratio"] = median(ratios);
  state.counters["time_over_bytes"] = median(ratios) / bytes;
  state.counters["best_over_bytes"] = *std::min_element(packed_times.begin(), packed_times.end()) /
                                      *std::min_element(dense_times.begin(), dense_times.end()) /
                                      bytes;
}

template <index_t D, value_order Order, int Records>
void add_lines(const char* name) {
  for (const double rho : {0.25, 0.5, 0.75})
    for (const int threads : {1, 2}) {
      const std::string line = "layouts/" + std::string(name) + "/d" + std::to_string(D) + "/rho" +
                               std::to_string(static_cast<int>(rho * 100)) +
                               "/threads:" + std::to_string(threads);
      all_lines().push_back(
          {line, false, 25, benchmark::kMillisecond,
           [=](benchmark::State& state) { compare<D, Order, Records>(state, rho, threads); }});
    }
}
template <value_order Order, int Records>
void add_lines(const char* name) {
  add_lines<64, Order, Records>(name);
  add_lines<128, Order, Records>(name);
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

#include <vector>

#include "lines.hpp"
#include "probe.hpp"

// Lines probe/...: what the machine can do. The other lines measure these again beside themselves.

namespace {

using namespace rota_bench;

void read(benchmark::State& state, int threads) {
  read_probe& probe = shared_read_probe();
  rota::cpu::thread_pool pool(threads);
  constexpr std::size_t bytes = std::size_t{256} << 20;
  std::vector<double> rates;
  for (auto _ : state) {
    const double seconds = probe.read(pool.get_backend(), bytes);
    rates.push_back(bytes / seconds);
    state.SetIterationTime(seconds);
  }
  benchmark::DoNotOptimize(probe.checksum());
  state.counters["read_gbs"] = median(rates) / 1e9;
}

void copy(benchmark::State& state, int threads) {
  copy_probe& probe = shared_copy_probe();
  rota::cpu::thread_pool pool(threads);
  constexpr std::size_t bytes = std::size_t{128} << 20;
  std::vector<double> rates;
  for (auto _ : state) {
    const double seconds = probe.copy(pool.get_backend(), bytes);
    rates.push_back(bytes / seconds);
    state.SetIterationTime(seconds);
  }
  state.counters["copy_gbs"] = median(rates) / 1e9;
}

template <class Probe>
void arithmetic(benchmark::State& state, int threads, const char* counter) {
  static Probe probe;
  rota::cpu::thread_pool pool(threads);
  std::vector<double> rates;
  for (auto _ : state) {
    const double start = now();
    rates.push_back(probe.rate(pool.get_backend()));
    state.SetIterationTime(now() - start);
  }
  state.counters[counter] = median(rates) / 1e9;
}

[[maybe_unused]] const bool registered = [] {
  const auto add = [](const char* name, int threads, auto run) {
    all_lines().push_back({"probe/" + std::string(name) + "/threads:" + std::to_string(threads),
                           true, 25, benchmark::kMillisecond,
                           [=](benchmark::State& state) { run(state, threads); }});
  };
  for (const int threads : {1, 2}) {
    add("read", threads, read);
    add("copy", threads, copy);
    add("fma", threads,
        [](benchmark::State& s, int n) { arithmetic<fma_probe>(s, n, "fma_gflops"); });
#if defined(__AVX512BF16__)
    add("bf16_dot", threads,
        [](benchmark::State& s, int n) { arithmetic<bf16_dot_probe>(s, n, "bf16_dot_gflops"); });
#endif
#if defined(ROTA_CPU_AMX)
    add("matrix", threads,
        [](benchmark::State& s, int n) { arithmetic<matrix_probe>(s, n, "matrix_gflops"); });
#endif
  }
  return true;
}();

}  // namespace

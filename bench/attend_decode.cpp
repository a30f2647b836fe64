#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include <rota/attend/reference.hpp>

#include "fixture.hpp"

// One decode step over 64K random tokens of 8 kv heads: lines attend/decode/<store>/<element>/...
// Each line first compares a small instance of the same template with the double oracle. In every
// iteration the machine's read probe and the dense bf16 store are timed beside the line's own
// store, and the counters are medians of the ratios:
//   read_fraction  bytes a second of the step / of the probe, same threads
//   time_ratio     time of the step / of the step over the dense bf16 store
//   byte_ratio     bytes of the store / of the dense bf16 store

namespace {

using namespace rota_bench;
using rota::bf16;

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

/// Largest relative error of a row against the oracle.
template <class Store>
double error_of(const decode_shape& s, const Store& store) {
  rotating_decode<Store> run(s, {store});
  run.step(rota::cpu::backend{});
  const index_t heads = s.kv_heads * s.group;
  std::vector<double> want(static_cast<std::size_t>(heads * s.d));
  rota::reference::attend(run.item(0), {}, rota::view<double, 3>(want.data(), 1, heads, s.d));
  double worst = 0;
  for (index_t h = 0; h < heads; ++h) {
    double difference = 0, size = 0;
    for (index_t c = 0; c < s.d; ++c) {
      const auto i = static_cast<std::size_t>(h * s.d + c);
      difference = std::max(difference, std::fabs(static_cast<double>(run.out()[i]) - want[i]));
      size = std::max(size, std::fabs(want[i]));
    }
    worst = std::max(worst, difference / size);
  }
  return worst;
}

/// Times `store` (and copies of it where it is small) beside probe and dense bf16.
template <class Store>
void time_lines(benchmark::State& state, const decode_shape& shape, const Store& store,
                int threads) {
  static read_probe probe;
  static const dense_kv<bf16> dense(shape);
  static rotating_decode<rota::dense_store<bf16>> over_dense(shape, {dense.store});
  rotating_decode<Store> step(shape, {store});
  rota::cpu::thread_pool pool(threads);
  const rota::cpu::backend b = pool.get_backend();
  std::vector<double> fractions, ratios;
  for (auto _ : state) {
    // The probe's 512 MB and the dense pass lie between two uses of this store.
    const double probe_rate = reuse_distance / probe.read(b, reuse_distance);
    const double dense_seconds = over_dense.step(b);
    const double seconds = step.step(b);
    fractions.push_back(static_cast<double>(store.bytes()) / seconds / probe_rate);
    ratios.push_back(seconds / dense_seconds);
    state.SetIterationTime(seconds);
  }
  state.counters["read_fraction"] = median(fractions);
  state.counters["store_bytes"] = static_cast<double>(store.bytes());
  state.counters["byte_ratio"] =
      static_cast<double>(store.bytes()) / static_cast<double>(dense.store.bytes());
  state.counters["time_ratio"] = median(ratios);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * store.bytes());
}

constexpr decode_shape small{2, 4, 700, 128};

template <rota::element E>
constexpr double tolerance = 4e-3;
template <>
constexpr double tolerance<float> = 1e-5;

template <rota::element E>
void decode_dense(benchmark::State& state, int threads) {
  if (error_of(small, dense_kv<E>(small).store) > tolerance<E>)
    return state.SkipWithError("differs from the oracle");
  const dense_kv<E> kv(decode_shape{});
  time_lines(state, {}, kv.store, threads);
}

template <rota::element E>
void decode_packed(benchmark::State& state, double keep_tokens, double keep_groups, int threads) {
  using layout = rota::packed<E, 16>;
  const dense_kv<E> small_kv(small);
  const packed_kv<layout> small_packed(small, small_kv, keep_tokens, keep_groups);
  if (error_of(small, small_packed.store) > tolerance<E>)
    return state.SkipWithError("differs from the oracle");
  const auto kv = std::make_unique<dense_kv<E>>(decode_shape{});
  const packed_kv<layout> packed({}, *kv, keep_tokens, keep_groups);
  time_lines(state, {}, packed.store, threads);
}

template <class F>
void add(const std::string& store, const char* element, int threads, F f) {
  const std::string name =
      "attend/decode/" + store + "/" + element + "/g4/q1/threads:" + std::to_string(threads);
  benchmark::RegisterBenchmark(name.c_str(), f)
      ->UseManualTime()
      ->Iterations(25)
      ->Unit(benchmark::kMillisecond);
}

template <rota::element E>
void add_all(const char* element, int threads) {
  add("dense", element, threads, [=](auto& state) { decode_dense<E>(state, threads); });
  // Kept tokens r at half of the groups: all kept bytes are r * 0.75.
  for (const int percent : {75, 50, 37, 25})
    add("packed" + std::to_string(percent), element, threads, [=](auto& state) {
      decode_packed<E>(state, std::min(1.0, (percent == 37 ? 37.5 : percent) / 75.0), 0.5, threads);
    });
}

[[maybe_unused]] const bool registered = [] {
  for (const int threads : {1, 2}) add_all<bf16>("bf16", threads);
  for (const int threads : {1, 2}) add_all<float>("f32", threads);
  return true;
}();

}  // namespace

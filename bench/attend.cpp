#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "fixture.hpp"
#include "lines.hpp"

// Attention of 8 kv heads of size 128 over 16,384 random tokens:
//   attend/decode/<store>/<codec>/g<G>/q<tokens>/threads:<n>
//     one step of 1, 4 or 16 query tokens; over bf16 they are bf16 and so are outputs, as in
//     engines, else float
//   attend/decode/dense/bf16/g4/q<tokens>/queries:f32/threads:2
//     the same of floats
//   attend/prefix/<store>/<codec>/g<G>/q<tokens>/threads:<n>
//     a chunk of a prompt behind a prefix
// Each line first compares a small instance of the same template with the double oracle. In every
// round the machine's probes and the dense bf16 store are timed beside the line's own store, and
// counters are medians over the rounds:
//   read_fraction  bytes of the store a second of the step / of the read probe, same threads
//   fma_fraction   multiply-adds a second that values and keys need / of the probe
//   unit_fraction  the same / of the matrix unit's probe, where keys and values go through it
//   time_ratio     time of the step / of the same step over the dense bf16 store
//   byte_ratio     bytes of the store / of the dense bf16 store

namespace {

using namespace rota_bench;
using rota::bf16;

/// What a line asks.
struct question {
  index_t group = 4;
  index_t queries = 1;
  int threads = 2;
};

/// What queries and outputs are where a line does not say it.
template <rota::codec C>
using usual_io = std::conditional_t<std::is_same_v<C, bf16>, bf16, float>;

/// Whether a step over this store gives what the oracle does, which reads the same stored numbers.
template <rota::element Io, class Store>
bool is_right(const kv_shape& s, const Store& store, const question& ask) {
  attend_step<Store, Io> step(s, ask.group, ask.queries);
  step.seconds(rota::cpu::backend{}, store);
  return attend_error(step.item(store)) <= (std::is_same_v<Io, bf16> ? 8e-3 : 2e-5);
}

const layer_rows& full_rows() {
  static const layer_rows rows{kv_shape{}};
  return rows;
}

/// The machine and the dense bf16 store, which every line is measured against.
struct yardsticks {
  read_probe& read = shared_read_probe();
  fma_probe fma;
#if defined(ROTA_CPU_AMX)
  matrix_probe matrix;
  double matrix_rate(const rota::cpu::backend& b) {
    return matrix.rate(b);
  }
#else
  double matrix_rate(const rota::cpu::backend&) {
    return 0;
  }
#endif
  rotating<dense_kv<bf16>> dense{kv_shape{}, dense_kv<bf16>({}, full_rows())};
};

yardsticks& shared() {
  static yardsticks y;
  return y;
}

/// Multiply-adds, counted as two operations each, of a step in which `kept` keys and `slices` of
/// `values` are looked at by every query row.
double operations(const kv_shape& s, const question& ask, double key_share, double value_share) {
  const auto rows = static_cast<double>(ask.queries * ask.group);
  return 2 * rows * static_cast<double>(s.row_elements()) * (key_share + value_share);
}

/// Times the store `kv`, of which this share of keys and values is there. `on_unit`: whether all of
/// it can go through the matrix unit.
template <rota::element Io, class Kv>
void time_line(benchmark::State& state, const question& ask, Kv kv, double key_share,
               double value_share, bool on_unit) {
  constexpr std::size_t probe_bytes = std::size_t{256} << 20;
  const kv_shape shape;
  yardsticks& y = shared();
  rotating<Kv> stores(shape, std::move(kv));
  attend_step<typename Kv::store_type, Io> step(shape, ask.group, ask.queries);
  attend_step<rota::dense_store<bf16>, Io> over_dense(shape, ask.group, ask.queries);
  rota::cpu::thread_pool pool(ask.threads);
  const rota::cpu::backend b = pool.get_backend();
  const auto bytes = static_cast<double>(stores.bytes());
  const double flops = operations(shape, ask, key_share, value_share);
  step.seconds(b, stores.next());
  over_dense.seconds(b, y.dense.next());
  std::vector<double> reads, fmas, units, fractions, fma_fractions, ratios, times;
  for (auto _ : state) {
    reads.push_back(probe_bytes / y.read.read(b, probe_bytes));
    fmas.push_back(y.fma.rate(b));
    units.push_back(y.matrix_rate(b));
    const double dense_seconds = over_dense.seconds(b, y.dense.next());
    const double seconds = step.seconds(b, stores.next());
    fractions.push_back(bytes / seconds / reads.back());
    fma_fractions.push_back(flops / seconds / fmas.back());
    ratios.push_back(seconds / dense_seconds);
    times.push_back(seconds);
    state.SetIterationTime(seconds);
  }
  state.counters["read_fraction"] = median(fractions);
  state.counters["fma_fraction"] = median(fma_fractions);
  if (on_unit && median(units) > 0)
    state.counters["unit_fraction"] = flops / median(times) / median(units);
  state.counters["store_bytes"] = bytes;
  state.counters["byte_ratio"] = bytes / static_cast<double>(y.dense.bytes());
  state.counters["time_ratio"] = median(ratios);
  state.counters["seconds"] = median(times);
  state.counters["read_gbs"] = median(reads) / 1e9;
  state.counters["fma_gflops"] = median(fmas) / 1e9;
  state.counters["flops"] = flops;
}

constexpr kv_shape small{2, 700, 128};

template <rota::codec C, rota::element Io = usual_io<C>>
void dense_line(benchmark::State& state, const question& ask) {
  const dense_kv<C> small_kv(small, layer_rows(small));
  if (!is_right<Io>(small, small_kv.store, ask) || !is_right<float>(small, small_kv.store, ask))
    return state.SkipWithError("differs from the oracle");
  time_line<Io>(state, ask, dense_kv<C>({}, full_rows()), 1, 1, std::is_same_v<C, bf16>);
}

/// Kept tokens r with half of their groups: all kept bytes are r * 0.75.
template <rota::codec C>
void packed_line(benchmark::State& state, const question& ask, double kept) {
  using kv = packed_kv<rota::packed<C, 16>>;
  const double r = kept / 0.75;
  const kv small_kv(small, layer_rows(small), r, 0.5);
  if (!is_right<usual_io<C>>(small, small_kv.store, ask) ||
      !is_right<float>(small, small_kv.store, ask))
    return state.SkipWithError("differs from the oracle");
  time_line<usual_io<C>>(state, ask, kv({}, full_rows(), r, 0.5), r, r / 2, false);
}

struct store_kind {
  const char* name;
  double kept;  ///< share of the dense bytes; 1: dense
};
constexpr store_kind stores[] = {
    {"dense", 1}, {"packed75", 0.75}, {"packed50", 0.5}, {"packed37", 0.375}, {"packed25", 0.25}};

/// Which lines of the grid belong to `make bench`.
bool is_usual(const std::string& store, const std::string& codec, const question& ask) {
  const bool pair = store == "dense" || store == "packed37";
  if (ask.threads == 1) return pair && codec == "bf16" && ask.queries == 1 && ask.group <= 4;
  if (codec == "bf16" && ask.group == 4 && ask.queries == 1) return true;
  if (codec == "bf16") return pair && (ask.group == 4 || ask.queries == 1);
  if (codec == "f32" && store == "dense") return ask.queries == 1;
  return pair && ask.group == 4 && ask.queries == 1;
}

template <rota::codec C>
void add(const char* family, const store_kind& store, const char* codec, const question& ask,
         bool usual) {
  const std::string name = "attend/" + std::string(family) + "/" + store.name + "/" + codec + "/g" +
                           std::to_string(ask.group) + "/q" + std::to_string(ask.queries) +
                           "/threads:" + std::to_string(ask.threads);
  const double kept = store.kept;
  all_lines().push_back({name, usual, ask.queries > 64 ? 9 : 75, benchmark::kMillisecond,
                         [=](benchmark::State& state) {
                           if (kept == 1)
                             dense_line<C>(state, ask);
                           else
                             packed_line<C>(state, ask, kept);
                         }});
}

template <rota::codec C>
void add_codec(const char* codec) {
  for (const store_kind& store : stores)
    for (const index_t group : {1, 4, 8})
      for (const index_t queries : {1, 4, 16})
        for (const int threads : {1, 2}) {
          const question ask{group, queries, threads};
          add<C>("decode", store, codec, ask, is_usual(store.name, codec, ask));
        }
}

void add_float_queries(const question& ask) {
  all_lines().push_back({"attend/decode/dense/bf16/g" + std::to_string(ask.group) + "/q" +
                             std::to_string(ask.queries) +
                             "/queries:f32/threads:" + std::to_string(ask.threads),
                         true, 75, benchmark::kMillisecond,
                         [=](benchmark::State& state) { dense_line<bf16, float>(state, ask); }});
}

[[maybe_unused]] const bool registered = [] {
  add_codec<bf16>("bf16");
  for (const index_t queries : {1, 16}) add_float_queries({4, queries, 2});
  add_codec<float>("f32");
  add_codec<rota::f16>("f16");
  add_codec<rota::int8>("int8");
  for (const int threads : {1, 2})
    for (const index_t queries : {128, 512})
      for (const store_kind& store : {stores[0], stores[3]}) {
        const question ask{4, queries, threads};
        add<bf16>("prefix", store, "bf16", ask, threads == 2);
        add<float>("prefix", store, "f32", ask, threads == 2 && queries == 128);
      }
  return true;
}();

}  // namespace

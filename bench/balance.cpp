#include <string>
#include <vector>

#include "fixture.hpp"
#include "lines.hpp"

// Whether threads share out what is hard to share: as many bytes as in
// attend/decode/dense/bf16/g4/q1, cut otherwise.
//   balance/one_head/threads:<n>     a kv head of 131,072 tokens
//   balance/sequences/threads:<n>    a batch of 256 sequences of 64 tokens, 8 kv heads each
// Counters: read_fraction as in attend/, and thread_ratio, the time on one thread over n times the
// time on n, in turns; 1 where threads wait for nothing, memory apart.

namespace {

using namespace rota_bench;
using rota::bf16;
using store_type = rota::dense_store<bf16>;

constexpr index_t group = 4;

/// A batch of sequences of the same length, whose heads lie one after the other in one store.
class sequences {
 public:
  sequences(const kv_shape& each, index_t count)
      : each_(each),
        all_{each.kv_heads * count, each.tokens, each.d},
        q_(static_cast<std::size_t>(all_.kv_heads * group * each.d)),
        out_(q_.size()),
        stores_(static_cast<std::size_t>(count)),
        items_(stores_.size()) {
    noise rng(3);
    for (float& x : q_) x = rng.value();
  }

  const kv_shape& all() const { return all_; }
  const std::vector<rota::attend_item<store_type>>& items() const { return items_; }

  /// Seconds of a step over the store of all sequences' heads.
  double seconds(const rota::cpu::backend& b, const store_type& all) {
    set_items(all);
    return attend_seconds<store_type, float>(b, items_, ws_);
  }

 private:
  void set_items(const store_type& all) {
    const index_t heads = each_.kv_heads, row = heads * each_.tokens * each_.d;
    const index_t q_floats = heads * group * each_.d;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      const auto n = static_cast<index_t>(i);
      store_type& one = stores_[i];
      one = all;
      one.keys = {all.keys.data + n * row, {heads, each_.tokens, each_.d}, all.keys.stride};
      one.values = {all.values.data + n * row, {heads, each_.tokens, each_.d}, all.values.stride};
      items_[i].q = rota::view<const float, 3>(q_.data() + n * q_floats, 1, heads * group, each_.d);
      items_[i].out = rota::view<float, 3>(out_.data() + n * q_floats, 1, heads * group, each_.d);
      items_[i].store = &one;
    }
  }

  kv_shape each_, all_;
  std::vector<float> q_, out_;
  std::vector<store_type> stores_;
  std::vector<rota::attend_item<store_type>> items_;
  big_memory ws_;
};

/// Largest relative error of the batch's outputs.
double error_of(const kv_shape& each, index_t count) {
  sequences batch(each, count);
  const dense_kv<bf16> kv(batch.all(), layer_rows(batch.all()));
  batch.seconds(rota::cpu::backend{}, kv.store);
  double worst = 0;
  for (const auto& item : batch.items()) take_worse(worst, attend_error(item));
  return worst;
}

void time_line(benchmark::State& state, const kv_shape& each, index_t count, int threads) {
  const kv_shape small{each.kv_heads, std::min<index_t>(each.tokens, 9000), each.d};
  if (!(error_of(small, std::min<index_t>(count, 3)) <= 2e-5))
    return state.SkipWithError("differs from the oracle");
  constexpr std::size_t probe_bytes = std::size_t{256} << 20;
  sequences batch(each, count);
  rotating<dense_kv<bf16>> stores(batch.all(),
                                  dense_kv<bf16>(batch.all(), layer_rows(batch.all())));
  rota::cpu::thread_pool pool(threads);
  const rota::cpu::backend one, all = pool.get_backend();
  batch.seconds(all, stores.next());
  std::vector<double> fractions, ratios, times;
  for (auto _ : state) {
    const double read_seconds = shared_read_probe().read(all, probe_bytes);
    const double alone = batch.seconds(one, stores.next());
    const double seconds = batch.seconds(all, stores.next());
    fractions.push_back(static_cast<double>(stores.bytes()) / seconds * read_seconds / probe_bytes);
    ratios.push_back(alone / (threads * seconds));
    times.push_back(seconds);
    state.SetIterationTime(seconds);
  }
  state.counters["read_fraction"] = median(fractions);
  state.counters["thread_ratio"] = median(ratios);
  state.counters["seconds"] = median(times);
  state.counters["store_bytes"] = static_cast<double>(stores.bytes());
}

void add(const char* name, const kv_shape& each, index_t count) {
  for (const int threads : {1, 2})
    all_lines().push_back({"balance/" + std::string(name) + "/threads:" + std::to_string(threads),
                           threads == 2, 25, benchmark::kMillisecond, [=](benchmark::State& state) {
                             time_line(state, each, count, threads);
                           }});
}

[[maybe_unused]] const bool registered = [] {
  add("one_head", {1, 131072, 128}, 1);
  add("sequences", {8, 64, 128}, 256);
  return true;
}();

}  // namespace

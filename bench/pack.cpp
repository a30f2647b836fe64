#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <rota/cpu/unpack.hpp>

#include "fixture.hpp"
#include "lines.hpp"

// Packing 8 kv heads of size 128 over 16,384 tokens, bf16 rows as a prefill leaves them:
//   pack/<kept>/<codec>/threads:<n>   packed37 keeps half of the tokens and half of their groups,
//                                     packed75 all tokens and half of their groups, whole all
// Each line first packs a small instance and compares what comes out again with the rows. Rows and
// stores are in no cache. Counters are medians over the rounds, the probes on as many threads:
//   copy_fraction  half of the bytes read and written a second / of the copy probe, which counts
//                  each byte once, too
//   read_fraction  bytes of the store a second / of the read probe
// Read are the kept keys and groups and the selection; of a cache line of which only a part is
// kept, only that part is counted.

namespace {

using namespace rota_bench;
using rota::bf16;

template <rota::codec C>
using layout_of = rota::packed<C, 16>;

struct packing_case {
  const char* name;
  double tokens, groups;
};
constexpr packing_case cases[] = {{"packed37", 0.5, 0.5}, {"packed75", 1, 0.5}, {"whole", 1, 1}};

/// One store, packed again and again.
template <rota::codec C>
class packing {
 public:
  packing(const kv_shape& s, const packing_case& kept)
      : kept_(s, static_cast<int>(s.d / layout_of<C>::width), kept.tokens, kept.groups),
        shape_(layout_of<C>::shape(s.kv_heads, s.d, s.d, {}, 0, false)),
        bytes_(rota::packed_bytes(shape_, kept_.kept)) {
    for (index_t h = 0; h < s.kv_heads; ++h)
      for (index_t i = 0; i < kept_.kept.counts(h); ++i) {
        const int groups = __builtin_popcount(kept_.kept.masks(h, i));
        read_ += 6 + 2 * (s.d + groups * layout_of<C>::width);  // index, mask, bf16 numbers
      }
  }

  index_t bytes() const { return bytes_; }
  double moved() const { return 0.5 * static_cast<double>(bytes_ + read_); }

  double seconds(const rota::cpu::backend& b, const layer_rows& rows, std::byte* memory) {
    typename layout_of<C>::store_type store{memory, bytes_};
    const std::size_t scratch = rota::cpu::pack_workspace_bytes(b, shape_);
    if (ws_.size() < scratch) ws_ = big_memory(scratch);
    const double start = now();
    const rota::status done =
        rota::cpu::pack(b, shape_, rows.context, kept_.kept, store, {ws_.data(), ws_.size()});
    const double seconds = now() - start;
    must(done, "pack");
    return seconds;
  }

  /// The largest difference between what a store holds and its rows, dropped groups as 0.
  double error(const layer_rows& rows, std::byte* memory) const {
    const typename layout_of<C>::store_type store{memory, bytes_};
    double worst = 0;
    for (index_t h = 0; h < rows.shape.kv_heads; ++h) {
      const auto n = static_cast<std::size_t>(kept_.kept.counts(h));
      const auto d = static_cast<std::size_t>(rows.shape.d);
      std::vector<rota::plain_type_of<C>> keys(n * d), values(n * d);
      std::vector<rota::position_t> positions(n);
      std::vector<rota::group_mask> masks(n);
      rota::cpu::unpack_head(rota::cpu::backend{}, store, h,
                             {keys.data(), values.data(), positions.data(), masks.data()});
      for (std::size_t i = 0; i < n * d; ++i) {
        const auto t = static_cast<index_t>(i / d), c = static_cast<index_t>(i % d);
        const index_t from = kept_.kept.indices(h, t);
        const bool kept = kept_.kept.masks(h, t) >> (c / layout_of<C>::width) & 1;
        const float value = kept ? float(rows.context.values(from, h, c)) : 0.0f;
        const float key = float(rows.context.keys(from, h, c));
        take_worse(worst, std::fabs(double(float(keys[i])) - double(key)));
        take_worse(worst, std::fabs(double(float(values[i])) - double(value)));
      }
    }
    return worst;
  }

 private:
  random_kept kept_;
  rota::packed_shape shape_;
  index_t bytes_, read_ = 0;
  big_memory ws_;
};

template <rota::codec C>
void time_line(benchmark::State& state, const packing_case& kept, int threads, double tolerance) {
  constexpr kv_shape small{2, 700, 128};
  const layer_rows few(small);
  packing<C> check(small, kept);
  big_memory target(static_cast<std::size_t>(check.bytes()));
  check.seconds(rota::cpu::backend{}, few, target.data());
  if (!(check.error(few, target.data()) <= tolerance))
    return state.SkipWithError("differs from the rows");

  constexpr std::size_t probe_bytes = std::size_t{128} << 20;
  packing<C> full(kv_shape{}, kept);
  std::vector<big_memory> stores;
  for (index_t i = copies_of(full.bytes()); i > 0; --i) {
    stores.emplace_back(static_cast<std::size_t>(full.bytes()));
    std::memset(stores.back().data(), 0, stores.back().size());
  }
  rota::cpu::thread_pool pool(threads);
  const rota::cpu::backend b = pool.get_backend();
  full.seconds(b, shared_layers()[0], stores[0].data());
  std::vector<double> reads, copies, copy_fractions, read_fractions, times;
  std::size_t turn = 0;
  for (auto _ : state) {
    reads.push_back(probe_bytes / shared_read_probe().read(b, probe_bytes));
    copies.push_back(probe_bytes / shared_copy_probe().copy(b, probe_bytes));
    ++turn;
    times.push_back(full.seconds(b, shared_layers()[turn % shared_layers().size()],
                                 stores[turn % stores.size()].data()));
    copy_fractions.push_back(full.moved() / times.back() / copies.back());
    read_fractions.push_back(static_cast<double>(full.bytes()) / times.back() / reads.back());
    state.SetIterationTime(times.back());
  }
  state.counters["copy_fraction"] = median(copy_fractions);
  state.counters["read_fraction"] = median(read_fractions);
  state.counters["store_bytes"] = static_cast<double>(full.bytes());
  state.counters["seconds"] = median(times);
  state.counters["copy_gbs"] = median(copies) / 1e9;
  state.counters["read_gbs"] = median(reads) / 1e9;
}

template <rota::codec C>
void add(const char* codec, double tolerance) {
  for (const packing_case& kept : cases)
    for (const int threads : {1, 2})
      all_lines().push_back(
          {"pack/" + std::string(kept.name) + "/" + codec + "/threads:" + std::to_string(threads),
           true, 25, benchmark::kMillisecond,
           [=](benchmark::State& state) { time_line<C>(state, kept, threads, tolerance); }});
}

[[maybe_unused]] const bool registered = [] {
  add<bf16>("bf16", 0);
  add<rota::int8>("int8", 0.0041);  // half of the scale of numbers up to 1
  return true;
}();

}  // namespace

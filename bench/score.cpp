#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <rota/cpu/eigen.hpp>
#include <rota/cpu/score.hpp>
#include <rota/score/attention_reference.hpp>
#include <rota/score/key_norm.hpp>
#include <rota/score/reference.hpp>
#include <rota/score/value_norm.hpp>

#include "fixture.hpp"
#include "lines.hpp"

// Scores of one layer: 32 query heads on 8 kv heads of size 128, 16,384 tokens, bf16 rows that are
// in no cache.
//   score/expected_attention   with covariances and value norms
//   score/attention_mass       of 16 queries, groups of 16
//   score/value_norm           groups of 16
//   score/key_norm
// each /threads:<n>, and each first compares a small layer with the double reference. Counters are
// medians over the rounds, on as many threads:
//   read_fraction  bytes of the keys and values that are read, once, a second / of the read probe
//   gemm_fraction  floating-point operations a second of the two quadratic forms of
//                  expected_attention / of Eigen's product of keys and covariances of that shape

namespace {

using namespace rota_bench;
using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr index_t group = 4, queries = 16, width = 16;

/// What the scorers ask for besides keys and values.
class moments {
 public:
  explicit moments(const kv_shape& s)
      : shape_(s),
        heads_(s.kv_heads * group),
        mean_(values(heads_ * s.d, 11)),
        covariance_(values(heads_ * s.d * s.d, 12)),
        queries_(values(queries * heads_ * s.d, 13)),
        frequencies_(static_cast<std::size_t>(s.d / 2), 0.1f) {}

  using context =
      rota::context<rota::bf16, rota::query_moments, rota::rope_frequencies, rota::window_queries>;
  context of(const layer_rows& rows) const {
    context c;
    c.keys = rows.context.keys;
    c.values = rows.context.values;
    c.mean = rota::view<const float, 2>(mean_.data(), heads_, shape_.d);
    c.covariance = rota::view<const float, 3>(covariance_.data(), heads_, shape_.d, shape_.d);
    c.inverse_frequencies = rota::view<const float, 1>(frequencies_.data(), shape_.d / 2);
    c.queries = rota::view<const float, 3>(queries_.data(), queries, heads_, shape_.d);
    return c;
  }

 private:
  static std::vector<float> values(index_t n, std::uint64_t seed) {
    noise rng(seed);
    std::vector<float> all(static_cast<std::size_t>(n));
    for (float& x : all) x = rng.value();
    return all;
  }

  kv_shape shape_;
  index_t heads_;
  std::vector<float> mean_, covariance_, queries_, frequencies_;
};

/// A scorer of tokens or of groups, called the same way.
template <class Scorer>
struct scoring {
  static constexpr bool groups = rota::group_scorer<Scorer>;
  typename Scorer::params params;

  static index_t scores(const kv_shape& s) {
    return s.kv_heads * s.tokens * (groups ? s.d / width : 1);
  }
  std::size_t workspace_bytes(const rota::cpu::backend& b, const moments::context& c) const {
    if constexpr (groups)
      return rota::cpu::score_groups_workspace_bytes(b, Scorer{}, params, c, width);
    else
      return rota::cpu::score_tokens_workspace_bytes(b, Scorer{}, params, c);
  }
  rota::status run(const rota::cpu::backend& b, const kv_shape& s, const moments::context& c,
                   float* out, rota::workspace ws) const {
    if constexpr (groups)
      return rota::cpu::score_groups(b, Scorer{}, params, c, width,
                                     rota::view<float, 3>(out, s.kv_heads, s.tokens, s.d / width),
                                     ws);
    else
      return rota::cpu::score_tokens(b, Scorer{}, params, c,
                                     rota::view<float, 2>(out, s.kv_heads, s.tokens), ws);
  }
  std::vector<double> reference(const moments::context& c) const {
    if constexpr (groups)
      return rota::reference::score_groups(Scorer{}, params, c, width);
    else
      return rota::reference::score_tokens(Scorer{}, params, c);
  }
};

/// Largest error over the largest score, on a small layer.
template <class Scorer>
double error() {
  constexpr kv_shape small{2, 300, 128};
  const layer_rows rows(small);
  const moments more(small);
  const moments::context c = more.of(rows);
  const rota::cpu::backend one;
  const scoring<Scorer> scorer;
  const big_memory ws(scorer.workspace_bytes(one, c));
  std::vector<float> got(static_cast<std::size_t>(scorer.scores(small)));
  must(scorer.run(one, small, c, got.data(), {ws.data(), ws.size()}), "score");
  const std::vector<double> want = scorer.reference(c);
  double worst = 0, top = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    take_worse(worst, std::fabs(double{got[i]} - want[i]));
    top = std::max(top, std::fabs(want[i]));
  }
  return worst / top;
}

/// Operations of a product of every head's keys with the covariances of its query heads.
double product_operations(const kv_shape& s) {
  return 2.0 * static_cast<double>(s.row_elements()) * static_cast<double>(group * s.d);
}

/// The same product by Eigen, in blocks of keys as wide as they come, of floats; seconds.
double product_seconds(const rota::cpu::backend& b, const kv_shape& s) {
  constexpr index_t block = 256;
  static const matrix keys = matrix::Random(block, s.d), sigma = matrix::Random(s.d, group * s.d);
  static std::vector<matrix> out(static_cast<std::size_t>(64), matrix(block, group * s.d));
  const double start = now();
  rota::cpu::parallel_for(b, s.kv_heads * s.tokens / block, [&](index_t, int worker) {
    out[static_cast<std::size_t>(worker % 64)].noalias() = keys * sigma;
  });
  const double seconds = now() - start;
  benchmark::DoNotOptimize(out[0].data());
  return seconds;
}

/// `bytes`: of a layer's rows, that the scorer reads.
template <class Scorer>
void time_line(benchmark::State& state, int threads, double bytes) {
  if (!(error<Scorer>() < 1e-4)) return state.SkipWithError("differs from the reference");
  constexpr std::size_t probe_bytes = std::size_t{256} << 20;
  constexpr bool multiplies = std::is_same_v<Scorer, rota::expected_attention>;
  const kv_shape shape;
  const moments more(shape);
  const scoring<Scorer> scorer;
  rota::cpu::thread_pool pool(threads);
  const rota::cpu::backend b = pool.get_backend();
  const big_memory ws(scorer.workspace_bytes(b, more.of(shared_layers()[0])) + 64);
  std::vector<float> out(static_cast<std::size_t>(scorer.scores(shape)));
  std::vector<double> reads, fractions, products, product_fractions, times;
  std::size_t turn = 0;
  for (auto _ : state) {
    reads.push_back(probe_bytes / shared_read_probe().read(b, probe_bytes));
    if (multiplies) products.push_back(product_operations(shape) / product_seconds(b, shape));
    const moments::context c = more.of(shared_layers()[turn++ % shared_layers().size()]);
    const double start = now();
    const rota::status done = scorer.run(b, shape, c, out.data(), {ws.data(), ws.size()});
    times.push_back(now() - start);
    must(done, "score");
    fractions.push_back(bytes / times.back() / reads.back());
    if (multiplies)
      product_fractions.push_back(product_operations(shape) / times.back() / products.back());
    state.SetIterationTime(times.back());
  }
  state.counters["read_fraction"] = median(fractions);
  state.counters["store_bytes"] = bytes;
  state.counters["seconds"] = median(times);
  state.counters["read_gbs"] = median(reads) / 1e9;
  if (!multiplies) return;
  state.counters["gemm_fraction"] = median(product_fractions);
  state.counters["gemm_gflops"] = median(products) / 1e9;
}

/// `rows`: 1 for a scorer that reads keys or values, 2 for both.
template <class Scorer>
void add(const char* name, int rows) {
  const double bytes = 2.0 * rows * static_cast<double>(kv_shape{}.row_elements());
  for (const int threads : {1, 2})
    all_lines().push_back({"score/" + std::string(name) + "/threads:" + std::to_string(threads),
                           true, 9, benchmark::kMillisecond, [=](benchmark::State& state) {
                             time_line<Scorer>(state, threads, bytes);
                           }});
}

[[maybe_unused]] const bool registered = [] {
  add<rota::expected_attention>("expected_attention", 2);
  add<rota::attention_mass>("attention_mass", 2);
  add<rota::value_norm>("value_norm", 1);
  add<rota::key_norm>("key_norm", 1);
  return true;
}();

}  // namespace

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <rota/cpu/cpu.hpp>
#include <rota/cpu/eigen.hpp>
#include <rota/rota.hpp>

#include "fixture.hpp"
#include "lines.hpp"

// What compressing one layer costs beside the prefill of that layer, on the shape of a 7B model:
// hidden 4096, 32 query heads on 8 kv heads of 128, MLP 14336, 8192 tokens. Lines compression/...:
// share_of_prefill is the step's time over that of the layer's seven matrix products, measured in
// the same process on the same threads. The prefill's attention and norms are not counted, so the
// true shares are smaller.

namespace {

using namespace rota_bench;
using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr index_t hidden = 4096, q_heads = 32, kv_heads = 8, d = 128, mlp = 14336, tokens = 8192;
constexpr int width = 16;
constexpr index_t query_tokens = 16, rank = 32, groups = d / width;

matrix random_matrix(index_t rows, index_t columns, std::uint64_t seed) {
  noise rng(seed);
  matrix m(rows, columns);
  const float unit = 1 / std::sqrt(static_cast<float>(columns));
  for (index_t i = 0; i < m.size(); ++i) m.data()[i] = unit * rng.value();
  return m;
}

/// Seconds of the layer's matrix products over all tokens, in blocks of tokens side by side.
double prefill_seconds(const rota::cpu::backend& b) {
  constexpr index_t block = 512;
  const matrix qkv = random_matrix((q_heads + 2 * kv_heads) * d, hidden, 1);
  const matrix o = random_matrix(hidden, q_heads * d, 2);
  const matrix gate_up = random_matrix(2 * mlp, hidden, 3), down = random_matrix(hidden, mlp, 4);
  const matrix x = random_matrix(block, hidden, 5);
  std::vector<float> sink(static_cast<std::size_t>(tokens / block));
  const double start = now();
  rota::cpu::parallel_for(b, tokens / block, [&](index_t i, int) {
    const matrix projected = x * qkv.transpose();
    const matrix mixed = projected.leftCols(q_heads * d) * o.transpose();
    const matrix wide = mixed * gate_up.transpose();
    const matrix out = wide.leftCols(mlp) * down.transpose();
    sink[static_cast<std::size_t>(i)] = out(0, 0) + projected(0, qkv.rows() - 1);
  });
  const double seconds = now() - start;
  benchmark::DoNotOptimize(sink.data());
  return seconds;
}

double prefill_on(int threads) {
  static double known[3] = {};
  double& seconds = known[threads];
  if (seconds == 0) {
    rota::cpu::thread_pool pool(threads);
    seconds = prefill_seconds(pool.get_backend());
    std::fprintf(stderr, "compression: matrix products of the layer on %d threads: %.1f s\n",
                 threads, seconds);
  }
  return seconds;
}

/// Everything that a scorer may ask for.
struct layer {
  layer_rows kv{{kv_heads, tokens, d}};
  matrix states = random_matrix(tokens, hidden, 6), queries = random_matrix(64, q_heads*d, 7);
  matrix mean = random_matrix(q_heads, d, 8), covariance = random_matrix(q_heads, d*d, 9);
  matrix linear = random_matrix(kv_heads * groups, hidden, 10), bias = random_matrix(1, 64, 11);
  matrix token_factor = random_matrix(rank, hidden, 12), query_factor = token_factor;
  matrix mix = random_matrix(kv_heads, rank, 13);
  std::vector<float> frequencies = std::vector<float>(d / 2, 0.1f);
  rota::context<rota::bf16, rota::window_queries, rota::query_moments, rota::rope_frequencies,
                rota::split_states, rota::query_states, rota::linear_relevance,
                rota::bilinear_relevance>
      c;

  layer() {
    c.keys = kv.context.keys;
    c.values = kv.context.values;
    c.queries = rota::view<const float, 3>(queries.data(), 64, q_heads, d);
    c.rota::query_moments::mean = rota::view<const float, 2>(mean.data(), q_heads, d);
    c.covariance = rota::view<const float, 3>(covariance.data(), q_heads, d, d);
    c.inverse_frequencies = rota::view<const float, 1>(frequencies.data(), d / 2);
    c.hidden = view_of(states);
    c.query_hidden = rota::view<const float, 2>(states.data(), query_tokens, hidden);
    c.linear = view_of(linear);
    c.bias = rota::view<const float, 1>(bias.data(), kv_heads * groups);
    c.token_factor = view_of(token_factor);
    c.query_factor = view_of(query_factor);
    c.mix = view_of(mix);
  }
  static rota::view<const float, 2> view_of(const matrix& m) {
    return rota::view<const float, 2>(m.data(), m.rows(), m.cols());
  }
};

const layer& the_layer() {
  static const layer l;
  return l;
}

void must(const rota::status& s) {
  rota_bench::must(s, "compression");
}

/// Scores, selects and packs the layer, each timed.
template <class Tokens, class Groups>
void compress(benchmark::State& state, int threads) {
  using op = rota::attention<rota::tokens<Tokens, rota::keep_ratio>,
                             rota::groups<Groups, rota::keep_ratio>,
                             rota::packed<rota::bf16, width>, rota::mean_fill>;
  const auto& c = the_layer().c;
  rota::cpu::thread_pool pool(threads);
  const rota::cpu::backend b = pool.get_backend();
  typename op::params p;
  p.protect = {.sinks = 4, .window = query_tokens};
  p.tokens.budget.ratio = p.groups.budget.ratio = 0.5;
  const rota::select_problem problem = op::problem_of(c, p);
  const std::size_t bytes =
      std::max({op::score_workspace_bytes(b, c, p), op::select_workspace_bytes(b, {&problem, 1}),
                op::pack_workspace_bytes(b, c, p)});
  const big_memory ws(bytes + 64), memory(static_cast<std::size_t>(op::max_store_bytes(c, p)));
  const rota::workspace scratch{ws.data(), ws.size()};
  std::vector<float> token_scores(kv_heads * tokens), group_scores(kv_heads * tokens * groups);
  random_kept kept({kv_heads, tokens, d}, groups, 0, 0);
  rota::layer_scores scores;
  scores.tokens = rota::view<float, 2>(token_scores.data(), kv_heads, tokens);
  scores.groups = rota::view<float, 3>(group_scores.data(), kv_heads, tokens, groups);
  double scoring = 0, selecting = 0, packing = 0;
  for (auto _ : state) {
    const double start = now();
    must(op::score(b, c, p, scores, scratch));
    const double scored = now();
    must(op::select(b, {&problem, 1}, p, {&scores, 1}, {&kept.kept, 1}, scratch));
    const double selected = now();
    typename op::store_type store{memory.data(), static_cast<index_t>(memory.size())};
    must(op::pack(b, c, kept.kept, p, store, scratch));
    const double packed = now();
    scoring += scored - start;
    selecting += selected - scored;
    packing += packed - selected;
    state.SetIterationTime(packed - start);
  }
  const double prefill = prefill_on(threads) * static_cast<double>(state.iterations());
  state.counters["score_share"] = scoring / prefill;
  state.counters["select_share"] = selecting / prefill;
  state.counters["pack_share"] = packing / prefill;
  state.counters["share_of_prefill"] = (scoring + selecting + packing) / prefill;
}

/// What Expected Attention asks of the prefill itself: the moments of the layer's queries.
void gather_moments(benchmark::State& state) {
  const std::size_t bytes = rota::query_statistics::memory_bytes(q_heads, d);
  const big_memory memory(bytes + 64);
  const matrix queries = random_matrix(tokens, q_heads * d, 14);
  std::vector<float> covariance(q_heads * d * d);
  double seconds = 0;
  for (auto _ : state) {
    const double start = now();
    rota::query_statistics s;
    rota::query_moments out;
    must(s.start(q_heads, d, {memory.data(), memory.size()}));
    must(s.update(rota::view<const float, 3>(queries.data(), tokens, q_heads, d)));
    must(s.finish(rota::view<float, 3>(covariance.data(), q_heads, d, d), out));
    const double took = now() - start;
    seconds += took;
    state.SetIterationTime(took);
  }
  state.counters["share_of_prefill"] =
      seconds / (prefill_on(1) * static_cast<double>(state.iterations()));
}

/// A learned router's logits for all tokens of the layer.
template <class Form>
void route(benchmark::State& state, int threads) {
  rota::context<rota::bf16, rota::layer_states, rota::router_weights> c;
  c.keys = the_layer().c.keys;
  c.values = the_layer().c.values;
  const index_t outputs = Form::outputs(kv_heads, groups);
  const matrix weights = random_matrix(outputs, hidden, 15), bias = random_matrix(1, outputs, 16);
  c.layer_hidden = layer::view_of(the_layer().states);
  c.router = layer::view_of(weights);
  c.router_bias = rota::view<const float, 1>(bias.data(), outputs);
  rota::cpu::thread_pool pool(threads);
  const rota::cpu::backend b = pool.get_backend();
  const rota::router<Form> scorer;
  const big_memory ws(rota::cpu::score_groups_workspace_bytes(b, scorer, {}, c, width) + 64);
  std::vector<float> logits(kv_heads * tokens * groups);
  const rota::view<float, 3> out(logits.data(), kv_heads, tokens, groups);
  double seconds = 0;
  for (auto _ : state) {
    const double start = now();
    must(rota::cpu::score_groups(b, scorer, {}, c, width, out, {ws.data(), ws.size()}));
    const double took = now() - start;
    seconds += took;
    state.SetIterationTime(took);
  }
  state.counters["share_of_prefill"] =
      seconds / (prefill_on(threads) * static_cast<double>(state.iterations()));
}

template <class Form>
void add_router_line() {
  const std::string line = "compression/router/" + std::string(Form::name) + "/threads:1";
  all_lines().push_back({line, false, 5, benchmark::kMillisecond,
                         [](benchmark::State& state) { route<Form>(state, 1); }});
}

template <class Tokens, class Groups>
void add_lines(const char* name) {
  for (const int threads : {1, 2}) {
    const std::string line =
        "compression/" + std::string(name) + "/threads:" + std::to_string(threads);
    all_lines().push_back({line, false, 5, benchmark::kMillisecond, [=](benchmark::State& state) {
                             compress<Tokens, Groups>(state, threads);
                           }});
  }
}

[[maybe_unused]] const bool registered = [] {
  add_lines<rota::expected_attention, rota::value_norm>("expected_attention+value_norm");
  add_lines<rota::snapkv, rota::value_norm>("snapkv+value_norm");
  add_lines<rota::key_diff, rota::value_norm>("key_diff+value_norm");
  add_lines<rota::token_predictor<>, rota::value_norm>("predictor+value_norm");
  add_lines<rota::token_predictor<>, rota::predictor<>>("predictor+predictor");
  add_router_line<rota::per_head_router>();
  add_router_line<rota::shared_router>();
  add_router_line<rota::hierarchical_router>();
  all_lines().push_back(
      {"compression/query_moments/threads:1", false, 5, benchmark::kMillisecond, gather_moments});
  return true;
}();

}  // namespace

#include <cmath>
#include <string>
#include <vector>

#include <rota/budget/global_top_m.hpp>
#include <rota/budget/keep_ratio.hpp>
#include <rota/cpu/select.hpp>
#include <rota/select/reference.hpp>

#include "fixture.hpp"
#include "lines.hpp"

// Selection by scores that lie in memory, 3/8 of them kept:
//   select/global_top_m/threads:<n>  the best tokens of 32 layers, 8 kv heads and 16,384 tokens
//   select/head_top_k/threads:<n>    as many of each head
//   select/pairs/threads:<n>         the best (token, group) pairs, 8 groups of 65,536 tokens, and
//                                    every token stays
// Each line first compares a small instance with sorting. Every round reads scores that are in no
// cache; the selection is written to the same memory again and again. Counters are medians:
//   read_fraction  bytes of the scores, once, a second / of the read probe, same threads

namespace {

using namespace rota_bench;

using rota::global_top_m;
using rota::keep_all;
using rota::keep_ratio;

constexpr double kept_share = 0.375;

struct select_shape {
  index_t layers = 32, kv_heads = 8, tokens = 16384;
  int groups = 1;

  index_t rows() const { return layers * kv_heads; }
  index_t scores() const { return rows() * tokens * groups; }
};

/// Scores of a span of layers: a bell whose centre and width differ from head to head.
void fill_scores(const select_shape& s, float* out) {
  noise rng(4);
  for (index_t r = 0; r < s.rows(); ++r) {
    const float centre = 0.3f * rng.value(), width = 0.7f + 0.5f * rng.value();
    for (index_t i = 0; i < s.tokens * s.groups; ++i)
      *out++ = centre + width * (rng.value() + rng.value() + rng.value());
  }
}

/// Scores, and room for what is selected by them.
template <class Tokens, class Groups>
class selecting {
 public:
  selecting(const select_shape& s, index_t copies)
      : shape_(s),
        copies_(copies),
        memory_(static_cast<std::size_t>(copies * s.scores()) * sizeof(float)),
        indices_(static_cast<std::size_t>(s.rows() * s.tokens)),
        masks_(indices_.size()),
        counts_(static_cast<std::size_t>(s.rows())) {
    auto* const scores = reinterpret_cast<float*>(memory_.data());
    fill_scores(s, scores);
    for (index_t c = 1; c < copies; ++c) std::copy_n(scores, s.scores(), scores + c * s.scores());
    problem_.kv_heads = s.kv_heads;
    problem_.tokens = s.tokens;
    problem_.groups = s.groups;
    problem_.protect = {4, 16};
    for (index_t l = 0; l < s.layers; ++l) {
      const index_t row = l * s.kv_heads, at = row * s.tokens;
      rota::selection out;
      out.indices = rota::view<std::int32_t, 2>(indices_.data() + at, s.kv_heads, s.tokens);
      out.masks = rota::view<rota::group_mask, 2>(masks_.data() + at, s.kv_heads, s.tokens);
      out.counts = rota::view<std::int32_t, 1>(counts_.data() + row, s.kv_heads);
      out_.push_back(out);
    }
    const auto kept = static_cast<index_t>(kept_share * static_cast<double>(s.scores()));
    if constexpr (std::is_same_v<Tokens, global_top_m>) tokens_.m = kept;
    if constexpr (std::is_same_v<Tokens, keep_ratio>) tokens_.ratio = kept_share;
    if constexpr (rota::selects_by<Groups>) groups_.m = kept;
  }

  double seconds(const rota::cpu::backend& b) {
    const std::vector<rota::layer_scores> scores = next_scores();
    const std::size_t bytes =
        rota::cpu::select_workspace_bytes<Tokens, Groups>(b, {&problem_, 1}, shape_.layers);
    if (ws_.size() < bytes) ws_ = big_memory(bytes);
    const double start = now();
    const rota::status done = rota::cpu::select<Tokens, Groups>(
        b, {&problem_, 1}, tokens_, groups_, scores, out_, {ws_.data(), ws_.size()});
    const double seconds = now() - start;
    must(done, "select");
    return seconds;
  }

  /// Whether the last selection is the one that sorting gives.
  bool is_right() {
    const std::vector<rota::layer_scores> scores = next_scores();
    std::vector<rota::reference::layer_selection> want;
    must(rota::reference::select<Tokens, Groups>({&problem_, 1}, tokens_, groups_, scores, want),
         "reference");
    for (std::size_t l = 0; l < out_.size(); ++l)
      for (index_t h = 0; h < shape_.kv_heads; ++h) {
        std::vector<rota::reference::kept_token> got;
        for (index_t i = 0; i < out_[l].counts(h); ++i)
          got.push_back({out_[l].indices(h, i), out_[l].masks(h, i)});
        if (got != want[l][static_cast<std::size_t>(h)]) return false;
      }
    return true;
  }

 private:
  std::vector<rota::layer_scores> next_scores() {
    float* at = reinterpret_cast<float*>(memory_.data()) + turn_++ % copies_ * shape_.scores();
    std::vector<rota::layer_scores> scores(out_.size());
    for (rota::layer_scores& l : scores) {
      if constexpr (rota::selects_by<Tokens>)
        l.tokens = rota::view<float, 2>(at, shape_.kv_heads, shape_.tokens);
      else
        l.groups = rota::view<float, 3>(at, shape_.kv_heads, shape_.tokens, shape_.groups);
      at += shape_.scores() / shape_.layers;
    }
    return scores;
  }

  select_shape shape_;
  index_t copies_, turn_ = 0;
  big_memory memory_, ws_;
  std::vector<std::int32_t> indices_;
  std::vector<rota::group_mask> masks_;
  std::vector<std::int32_t> counts_;
  std::vector<rota::selection> out_;
  rota::select_problem problem_;
  typename Tokens::params tokens_;
  typename Groups::params groups_;
};

template <class Tokens, class Groups>
void time_line(benchmark::State& state, const select_shape& shape, int threads) {
  constexpr std::size_t probe_bytes = std::size_t{256} << 20;
  rota::cpu::thread_pool pool(threads);
  const rota::cpu::backend b = pool.get_backend();
  selecting<Tokens, Groups> small({2, 2, 12000, shape.groups}, 1);
  small.seconds(b);
  if (!small.is_right()) return state.SkipWithError("differs from sorting");

  const index_t bytes = shape.scores() * static_cast<index_t>(sizeof(float));
  selecting<Tokens, Groups> full(shape, copies_of(bytes));
  full.seconds(b);
  std::vector<double> reads, fractions, times;
  for (auto _ : state) {
    reads.push_back(probe_bytes / shared_read_probe().read(b, probe_bytes));
    times.push_back(full.seconds(b));
    fractions.push_back(static_cast<double>(bytes) / times.back() / reads.back());
    state.SetIterationTime(times.back());
  }
  state.counters["read_fraction"] = median(fractions);
  state.counters["store_bytes"] = static_cast<double>(bytes);
  state.counters["seconds"] = median(times);
  state.counters["read_gbs"] = median(reads) / 1e9;
}

template <class Tokens, class Groups>
void add(const char* name, const select_shape& shape) {
  for (const int threads : {1, 2})
    all_lines().push_back({"select/" + std::string(name) + "/threads:" + std::to_string(threads),
                           true, 25, benchmark::kMillisecond, [=](benchmark::State& state) {
                             time_line<Tokens, Groups>(state, shape, threads);
                           }});
}

[[maybe_unused]] const bool registered = [] {
  add<global_top_m, keep_all>("global_top_m", {});
  add<keep_ratio, keep_all>("head_top_k", {});
  add<keep_all, global_top_m>("pairs", {1, 8, 65536, 8});
  return true;
}();

}  // namespace

// What attention scorers mean when a store is routed again: by position, over the heads that their
// definitions name, against double.
#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include <doctest/doctest.h>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "support/memory.hpp"
#include "support/policies.hpp"
#include "support/random_layer.hpp"

namespace {

using namespace rota;
using namespace rota_test;

constexpr index_t heads = 3, group = 2, d = 16, prompt = 70, appended = 9, held = 24;
const cpu::backend cpu_backend;

/// A store whose heads hold different tokens, some of them in the tail, and the last queries.
struct ragged_store {
  using maker = attention<tokens<key_norm, by_head>, packed<f32, 8>>;
  random_source rng;
  random_layer<f32> layer;
  std::vector<float> queries;
  context<f32, window_queries> parts;
  aligned_memory memory;
  maker::store_type store;

  explicit ragged_store(std::uint64_t seed, index_t rows = held)
      : rng(seed), layer(rng, prompt + appended, heads, d, d), memory(1 << 20) {
    for (index_t i = 0; i < rows * heads * group * d; ++i) queries.push_back(rng.normal());
    parts.queries = view<const float, 3>(queries.data(), rows, heads * group, d);
    store = {memory.data(), static_cast<index_t>(memory.size())};
    context<f32> first;
    first.keys = view<const f32, 3>(layer.keys.data(), prompt, heads, d);
    first.values = view<const f32, 3>(layer.values.data(), prompt, heads, d);
    maker::params p;
    p.tokens.budget.least = 0.4;
    const aligned_memory ws(maker::compress_workspace_bytes(cpu_backend, first, p));
    REQUIRE(maker::compress(cpu_backend, first, p, store, ws.workspace()).ok());
    const index_t at = prompt * heads * d;
    REQUIRE(maker::append(cpu_backend, store, view(layer.keys.data() + at, appended, heads, d),
                          view(layer.values.data() + at, appended, heads, d))
                .ok());
  }
};

template <class Store>
std::vector<index_t> positions_of(const Store& store, index_t h) {
  std::vector<index_t> found;
  for (index_t i = 0; i < store.block_count(h); ++i) {
    const auto block = store.block_at(h, i);
    for (index_t j = 0; j < block.count; ++j) found.push_back(block.position(j));
  }
  return found;
}

/// [query][position]: attention of a query head over what its kv head holds, from the definition.
using attention_rows = std::vector<std::map<index_t, double>>;
attention_rows attention_of(const ragged_store& s, index_t q_head,
                            const std::vector<index_t>& held_by, index_t window) {
  const index_t rows = s.parts.queries.extent[0];
  attention_rows all;
  for (index_t r = 0; r < rows; ++r) {
    const index_t own = prompt + appended - rows + r;
    std::map<index_t, double> p;
    double sum = 0;
    for (const index_t at : held_by) {
      if (at > own || (window > 0 && at <= own - window)) continue;
      double dot = 0;
      for (index_t k = 0; k < d; ++k)
        dot += double{s.parts.queries(r, q_head, k)} *
               double{s.layer.context.keys(at, q_head / group, k)};
      sum += p[at] = std::exp(dot / std::sqrt(static_cast<double>(d)));
    }
    for (auto& [at, x] : p) x /= sum;
    all.push_back(p);
  }
  return all;
}

double part_of(const std::map<index_t, double>& row, index_t at) {
  const auto found = row.find(at);
  return found == row.end() ? 0 : found->second;
}

constexpr double above_all = 1e9;

// The definitions: the score of each token that a head holds.

std::vector<double> score(tova, const ragged_store& s, const std::vector<index_t>* held_by,
                          index_t h, index_t window) {
  std::vector<double> scores(held_by[h].size());
  for (index_t q = 0; q < heads * group; ++q) {
    const attention_rows rows = attention_of(s, q, held_by[q / group], window);
    for (std::size_t i = 0; i < scores.size(); ++i)
      scores[i] += part_of(rows.back(), held_by[h][i]) / (heads * group);
  }
  if (held_by[h].back() == prompt + appended - 1) scores.back() = above_all;
  return scores;
}

std::vector<double> score(snapkv, const ragged_store& s, const std::vector<index_t>* held_by,
                          index_t h, index_t window) {
  const index_t rows = s.parts.queries.extent[0], start = prompt + appended - rows;
  std::vector<double> mean, pooled;
  for (const index_t at : held_by[h]) {
    if (at >= start) break;
    mean.push_back(0);
    for (index_t q = h * group; q < (h + 1) * group; ++q)
      for (const auto& row : attention_of(s, q, held_by[h], window))
        mean.back() += part_of(row, at) / static_cast<double>(group * rows);
  }
  for (std::size_t i = 0; i < held_by[h].size(); ++i) {
    pooled.push_back(i < mean.size() ? 0 : above_all);
    for (std::size_t j = i < 2 ? 0 : i - 2; i < mean.size() && j < std::min(mean.size(), i + 3);
         ++j)
      pooled.back() += mean[j] / 5;
  }
  return pooled;
}

std::vector<double> score(observed_attention, const ragged_store& s,
                          const std::vector<index_t>* held_by, index_t h, index_t window) {
  const index_t rows = s.parts.queries.extent[0];
  std::vector<double> scores(held_by[h].size());
  for (index_t q = h * group; q < (h + 1) * group; ++q) {
    const attention_rows all = attention_of(s, q, held_by[h], window);
    for (std::size_t i = 0; i < scores.size(); ++i) {
      const index_t at = held_by[h][i];
      const index_t last = window > 0 ? std::min(rows, at + window) : rows;
      for (const auto& row : all)
        scores[i] += part_of(row, at) / static_cast<double>(group * (last - at));
    }
  }
  return scores;
}

/// Positions that stay: the best `keep` that later queries see, protected ones first.
std::vector<index_t> best(const std::vector<double>& scores, const std::vector<index_t>& held_by,
                          index_t keep, const protection& protect, index_t window) {
  const auto n = static_cast<index_t>(held_by.size());
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < scores.size(); ++i)
    if (window == 0 || held_by[i] > held_by.back() + 1 - window) order.push_back(i);
  const auto rank = [&](std::size_t i) {
    return protect.covers(static_cast<index_t>(i), n) ? 2 * above_all : scores[i];
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return rank(a) > rank(b); });
  std::vector<index_t> kept;
  for (const std::size_t i : order)
    if (std::ssize(kept) < keep) kept.push_back(held_by[i]);
  std::sort(kept.begin(), kept.end());
  return kept;
}

template <class Scorer>
void check(const ragged_store& s, index_t window, index_t keep) {
  using op = attention<tokens<Scorer, fixed_k>, packed<f32, 8>>;
  typename op::params p;
  p.protect = {1, 2};  // fewer than there are window queries
  p.tokens.budget.k = keep;
  context<f32, window_queries> parts = s.parts;
  parts.sliding_window = window;
  const aligned_memory to_memory(1 << 20);
  typename op::store_type to{to_memory.data(), static_cast<index_t>(to_memory.size())};
  const aligned_memory ws(op::reroute_workspace_bytes(cpu_backend, s.store, parts, p));
  const status done = op::reroute(cpu_backend, s.store, parts, p, to, ws.workspace());
  REQUIRE_MESSAGE(done.ok(), done.what(), " ", done.argument);
  std::vector<index_t> held_by[heads];
  for (index_t h = 0; h < heads; ++h) held_by[h] = positions_of(s.store, h);
  CHECK(held_by[0].size() != held_by[1].size());
  for (index_t h = 0; h < heads; ++h) {
    CAPTURE(h);
    CHECK(positions_of(to, h) ==
          best(score(Scorer{}, s, held_by, h, window), held_by[h], keep, p.protect, window));
  }
}

}  // namespace

TEST_CASE("scorers of attention keep their definitions when a store is routed again") {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    CAPTURE(seed);
    const ragged_store s(seed);
    check<tova>(s, 0, 30);
    check<snapkv>(s, 0, 34);
    const ragged_store all(100 + seed, prompt + appended);
    check<observed_attention>(all, 0, 30);
  }
}

TEST_CASE("under a sliding window, too") {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    CAPTURE(seed);
    const ragged_store s(seed);
    const index_t window = 20 + 3 * static_cast<index_t>(seed);
    check<tova>(s, window, 12);
    check<snapkv>(s, 60, 28);
    const ragged_store all(100 + seed, prompt + appended);
    check<observed_attention>(all, window, 12);
    check<tova>(s, window, 70);  // all that can be seen, and nothing else
    check<tova>(s, INT64_MAX, 30);
  }
}

TEST_CASE("CriticalKV joins the heads of its base, not its own scores") {
  random_source rng(3);
  ragged_store s(3);
  std::vector<float> weights;
  for (index_t i = 0; i < 20 * heads * group * d; ++i) weights.push_back(rng.normal());
  context<f32, window_queries, output_projection> parts;
  parts.queries = s.parts.queries;
  parts.weights = view<const float, 3>(weights.data(), 20, heads * group, d);
  using op = attention<tokens<critical<tova>, fixed_k>, packed<f32, 8>>;
  op::params p;
  p.tokens.budget.k = 25;
  p.protect = {0, 1};
  const aligned_memory to_memory(1 << 20);
  op::store_type to{to_memory.data(), static_cast<index_t>(to_memory.size())};
  const aligned_memory ws(op::reroute_workspace_bytes(cpu_backend, s.store, parts, p));
  REQUIRE(op::reroute(cpu_backend, s.store, parts, p, to, ws.workspace()).ok());
  std::vector<index_t> held_by[heads];
  for (index_t h = 0; h < heads; ++h) held_by[h] = positions_of(s.store, h);
  for (index_t h = 0; h < heads; ++h) {
    std::vector<double> scores = score(tova{}, s, held_by, h, 0);
    for (std::size_t i = 0; i < scores.size(); ++i) {
      double norm = 0;
      for (index_t q = h * group; q < (h + 1) * group; ++q)
        for (index_t r = 0; r < 20; ++r) {
          double sum = 0;
          for (index_t k = 0; k < d; ++k)
            sum += double{parts.weights(r, q, k)} *
                   double{s.layer.context.values(held_by[h][i], h, k)};
          norm += std::fabs(sum) / group;
        }
      scores[i] = (scores[i] + 1e-4) * norm;
    }
    CHECK(positions_of(to, h) == best(scores, held_by[h], 25, p.protect, 0));
  }
}

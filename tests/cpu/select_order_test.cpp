#include <algorithm>
#include <functional>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include "support/select_params.hpp"
#include "support/selecting.hpp"

// Units that are too large to be listed: brackets that fit, brackets that miss, heavy ties.

using namespace rota;
using namespace rota_test;

namespace {

namespace order = rota::cpu::select_detail;

constexpr float inf = std::numeric_limits<float>::infinity();

/// What a score may be like, as a function of the random source and its place in 0 .. 1.
using score_kind = std::function<float(random_source&, double)>;

const std::vector<score_kind>& kinds() {
  static const std::vector<score_kind> all = {
      [](random_source& r, double) { return r.normal(); },
      [](random_source&, double at) { return static_cast<float>(at); },   // ascending
      [](random_source&, double at) { return static_cast<float>(-at); },  // descending
      [](random_source&, double) { return 0.25f; },                       // all equal
      [](random_source& r, double) {
        return r.pick<float>({0.0f, -0.0f, 1, -1});
      },
      [](random_source& r, double) { return static_cast<float>(r.below(100)); },
      // Much is the same, above it all differs, and the other way round.
      [](random_source& r, double) { return r.chance(0.4) ? -0.0f : 1 + r.normal() * 0.1f; },
      [](random_source& r, double) { return r.chance(0.4) ? 0.0f : -1 + r.normal() * 0.1f; },
      [](random_source& r, double) { return r.chance(0.5) ? NAN : r.normal(); },
      [](random_source& r, double) {
        return r.pick<float>({NAN, -NAN, inf, -inf, 3e38f, 1e-40f});
      },
      // All of interest lies side by side.
      [](random_source& r, double at) { return at < 0.05 ? 5 + r.normal() : r.normal() * 0.01f; },
  };
  return all;
}

void fill(random_source& rng, const score_kind& kind, std::vector<float>& out) {
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = kind(rng, static_cast<double>(i) / static_cast<double>(out.size()));
}

/// Selects by both levels on several numbers of threads, and by sorting.
template <class Tokens, class Groups>
void compare(select_span& span, const typename Tokens::params& tokens,
             const typename Groups::params& groups) {
  std::vector<reference::layer_selection> want;
  const auto problems = span.problems();
  const auto scores = span.scores();
  REQUIRE(reference::select<Tokens, Groups>(problems, tokens, groups, scores, want).ok());
  for (const int threads : {1, 2, 3, 16}) {
    REQUIRE(span.run<Tokens, Groups>(tokens, groups, threads).ok());
    for (std::size_t l = 0; l < span.layers.size(); ++l)
      REQUIRE(span.layers[l].selected() == want[l]);
  }
}

/// What a selection of one layer works with.
template <class Layer>
struct level_memory {
  std::vector<std::byte> memory;
  cpu::detail::select_memory m;

  explicit level_memory(Layer& layer) {
    carver count;
    const auto carve = [&](carver& from) {
      return cpu::detail::select_memory::carve(from, {}, {&layer.problem, 1}, 1, true);
    };
    carve(count);
    memory.resize(count.bytes());
    carver from({memory.data(), memory.size()});
    m = carve(from);
    m.map.add(0, layer.problem);
    m.map.layers[0].scores = layer.scores;
  }
};

}  // namespace

TEST_CASE("the k-th largest of a list equals that of sorting") {
  random_source rng(1);
  for (int round = 0; round < 120; ++round) {
    const index_t n = rng.pick<index_t>({1, 2, 63, 64, 65, 1025, 5000, 20000, 70000});
    std::vector<float> x(static_cast<std::size_t>(n));
    fill(rng, kinds()[static_cast<std::size_t>(round) % kinds().size()], x);
    std::vector<std::int32_t> keys;
    for (const float v : x) keys.push_back(cpu::simd::signed_key(score_key(v)));
    std::vector<std::int32_t> sorted = keys;
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    keys.resize(keys.size() + cpu::simd::word_items);
    const index_t k = rng.chance(0.2) ? rng.pick<index_t>({1, n}) : rng.between(1, n);
    const std::int32_t want = sorted[static_cast<std::size_t>(k - 1)];
    for (const index_t room : {index_t{200}, n + 200}) {  // one too small for most lists
      std::vector<std::int32_t> spare(static_cast<std::size_t>(room));
      const order::ranked_key got = order::kth_of_many(keys.data(), n, k, spare.data(), room);
      REQUIRE(got.key == want);
      REQUIRE(got.above ==
              std::count_if(sorted.begin(), sorted.end(), [&](auto v) { return v > want; }));
      REQUIRE(got.equal == std::count(sorted.begin(), sorted.end(), want));
    }
  }
}

TEST_CASE("tokens of large units: every kind of score, every share") {
  random_source rng(2);
  for (const score_kind& kind : kinds())
    for (const double share : {0.0001, 0.05, 0.375, 0.598, 0.602, 0.97}) {
      select_span span;
      for (const index_t n : {20000, 0, 17, 9000}) {
        auto& layer = span.layers.emplace_back(n, 2, 2);
        fill(rng, kind, layer.token_scores);
        layer.problem.protect = {rng.below(3), rng.below(3)};
      }
      const auto m = static_cast<index_t>(share * 2 * 29017) + 24;  // protected tokens count
      compare<global_top_m, keep_all>(span, {m}, {});
      compare<keep_ratio, keep_all>(span, {std::max(share, 0.4)}, {});
    }
}

TEST_CASE("groups of large units, with floors, holes and dropped tokens") {
  random_source rng(3);
  for (const score_kind& kind : kinds())
    for (const int groups : {1, 7, 8, 16}) {
      select_span span;
      for (const index_t n : {5000, 3000}) {
        auto& layer = span.layers.emplace_back(n, 2, groups);
        fill(rng, kind, layer.token_scores);
        fill(rng, kind, layer.group_scores);
        layer.problem.protect = {4, 8};
        layer.problem.drop_empty = rng.chance(0.5);
        if (rng.chance(0.5)) continue;
        for (group_mask& x : layer.available) x = static_cast<group_mask>(rng.bits() | rng.bits());
        layer.problem.available = view<const group_mask, 2>(layer.available.data(), 2, n);
      }
      const double share = rng.pick<double>({0.2, 0.598, 0.602});
      const auto m = static_cast<index_t>(share * 16000 * groups) + 100 * groups;
      compare<keep_all, global_top_m>(span, {}, {m});
      head_adaptive::params floored;
      floored.ratio = share;
      floored.safeguard = 0.3;
      compare<keep_ratio, head_adaptive>(span, {0.7}, floored);
    }
}

TEST_CASE("group scores whose rows do not lie one after another") {
  random_source rng(4);
  select_span span, apart;
  auto& layer = span.layers.emplace_back(9000, 2, 4);
  fill(rng, kinds()[0], layer.group_scores);
  auto& other = apart.layers.emplace_back(9000, 2, 6);
  other.problem.groups = 4;
  for (index_t i = 0; i < 2 * 9000; ++i)
    std::copy_n(layer.group_scores.begin() + i * 4, 4, other.group_scores.begin() + i * 6);
  other.scores.groups.extent[2] = 4;
  using pairs = global_top_m;
  REQUIRE(span.run<keep_all, pairs>({}, {30000}, 2).ok());
  REQUIRE(apart.run<keep_all, pairs>({}, {30000}, 2).ok());
  CHECK(layer.selected() == other.selected());
}

TEST_CASE("a sample of lines whose items are alike gives a bracket that holds") {
  random_source rng(6);
  const double share = 0.375;
  const auto cut = cpu::simd::signed_key(score_key(0.31863936f));  // of a bell
  int held = 0;
  for (int round = 0; round < 100; ++round) {
    std::vector<std::int32_t> keys(4096 + cpu::simd::word_items), spare(4096);
    for (std::size_t i = 0; i < 4096; i += order::line_items) {
      const std::int32_t key = cpu::simd::signed_key(score_key(rng.normal()));
      for (std::size_t k = 0; k < order::line_items; ++k)
        keys[i + k] = key + static_cast<std::int32_t>(rng.below(3));
    }
    const order::bracket b = order::bracket_of_sample(keys.data(), 4096, share, spare.data(), 4096);
    held += b.low <= cut && cut < b.high;
    REQUIRE(b.low > cpu::simd::key_of_nan);
    REQUIRE(b.high < cpu::simd::key_of_infinity);
  }
  CHECK(held >= 97);
}

TEST_CASE("a bracket holds where heads differ and tokens are protected") {
  random_source rng(9);
  for (const index_t tokens : {65536, 131072 - 50, 180 * 1024}) {
    select_span span;
    auto& layer = span.layers.emplace_back(tokens, 8, 1);
    auto& x = layer.token_scores;
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = rng.normal() + (i >= x.size() / 2 ? 5.0f : 0);
    layer.problem.protect = {4, 64};
    const level_memory carved(layer);
    const cpu::detail::select_memory& m = carved.m;
    const index_t items = 8 * (tokens - 68), quota = items * 3 / 8;

    std::vector<std::int32_t> own(cpu::detail::cut_memory::own_keys + cpu::simd::word_items), keys;
    const order::bracket b =
        order::guess_bracket(order::item_level::of_tokens(m), m.map.unit(budget_scope::layer, 0),
                             quota, items, own.data());
    for (index_t head = 0; head < 8; ++head)
      for (index_t t = 4; t < tokens - 64; ++t)
        keys.push_back(
            cpu::simd::signed_key(score_key(x[static_cast<std::size_t>(head * tokens + t)])));
    std::nth_element(keys.begin(), keys.begin() + quota - 1, keys.end(), std::greater<>());
    const std::int32_t cut = keys[static_cast<std::size_t>(quota - 1)];
    CHECK((b.low <= cut && cut < b.high));
    CHECK(std::count_if(keys.begin(), keys.end(), [&](std::int32_t key) {
            return key >= b.low && key < b.high;
          }) < items / 16);
  }
}

TEST_CASE("lines for a sample are of ranked items, and any may be picked") {
  random_source rng(7);
  for (const int width : {1, 2, 3, 7, 8, 16})
    for (const int gap : {0, 1}) {
      select_span span;
      auto& layer = span.layers.emplace_back(5000, 2, width + gap);
      auto& x = layer.group_scores;
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
      layer.problem.groups = width;
      layer.problem.protect = {4, 100};
      layer.scores.groups.extent[2] = width;

      const level_memory carved(layer);
      const cpu::detail::select_memory& m = carved.m;
      for (index_t w = 0; w < m.map.chunks * cpu::detail::words_per_chunk; ++w)
        m.survivors[w] = rng.bits() | rng.bits();

      const order::item_level level = order::item_level::of_groups(m);
      std::vector<bool> picked(x.size());
      for (index_t i = 0; i < 200000; ++i) {
        const auto c = m.map.chunk(i % m.map.chunks);
        const order::item_line line = level.pick(c, rng.bits());
        for (int k = 0; k < 64; ++k)
          if (line.ranked >> k & 1)
            picked[static_cast<std::size_t>(line.first - x.data()) + k] = true;
      }
      for (index_t i = 0; i < static_cast<index_t>(x.size()); ++i) {
        const index_t row = i / (width + gap), head = row / 5000, token = row % 5000;
        const auto c = m.map.chunk(head * 2 + token / cpu::detail::select_chunk_tokens);
        REQUIRE(picked[static_cast<std::size_t>(i)] ==
                (i % (width + gap) < width && token >= 4 && token < 4900 && m.survives(c, token)));
      }
    }
}

#if defined(__SSE2__)
TEST_CASE("a thread that flushes denormal floats selects the same") {
  random_source rng(5);
  select_span span;
  auto& layer = span.layers.emplace_back(20000, 1, 1);
  for (float& x : layer.token_scores) x = 1e-41f * rng.normal();
  compare<global_top_m, keep_all>(span, {9000}, {});
  const auto want = layer.selected();
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040);  // flush to zero, denormals are zero
  REQUIRE(span.run<global_top_m, keep_all>({9000}, {}, 1).ok());
  _mm_setcsr(before);
  CHECK(layer.selected() == want);
}
#endif

#include <string>

#include <doctest/doctest.h>

#include <rota/score/attention_reference.hpp>

#include "support/scored_layer.hpp"
#include "support/scoring.hpp"

// Scorers that sum attention, KeyDiff and LagKV.

using namespace rota;
using namespace rota_test;

namespace {

/// How far apart, outside the tokens that only get "just above the others".
template <class Scorer, class Layer>
void agree(Scorer scorer, const typename Scorer::params& p, const Layer& l, int threads) {
  CHECK(relative_difference(token_scores(scorer, p, l.c, threads),
                            reference::score_tokens(scorer, p, l.c)) < 5e-5);
}

template <element E>
void compare_with_references(std::uint64_t seed) {
  random_source rng(seed);
  const index_t n = rng.pick<index_t>({1, 2, 5, 63, 64, 65, 130, 257, 300});
  const index_t kv_heads = rng.between(1, 3), group = rng.between(1, 3);
  const index_t held = rng.chance(0.3) ? n : std::min<index_t>(n, rng.between(0, 20));
  const scored_layer<E> l(rng, n, kv_heads, group, 2 * rng.between(1, 20), 8 * rng.between(1, 4),
                          held);
  CAPTURE(seed);
  CAPTURE(n);
  CAPTURE(held);
  const int threads = static_cast<int>(rng.between(1, 3));
  const float scale = rng.chance(0.5) ? 0.2f : 0.0f;
  agree(key_diff{}, {}, l, threads);
  agree(tova{}, {scale}, l, threads);
  agree(snapkv{}, {rng.between(1, 25), rng.pick<index_t>({1, 3, 5, 9}), scale}, l, threads);
  if (held == n) agree(observed_attention{}, {scale}, l, threads);
  // Ranks of scores that differ in the last place may differ: the raw scores are compared.
  agree(lag_kv{}, {rng.between(0, 6), rng.between(1, 40), false}, l, threads);
}

}  // namespace

TEST_CASE("scorers of attention, KeyDiff and LagKV agree with their double references") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    compare_with_references<f32>(seed);
    compare_with_references<bf16>(1000 + seed);
    compare_with_references<f16>(2000 + seed);
  }
}

TEST_CASE("queries see by position and sliding window, whatever their element type") {
  const auto check = [](std::uint64_t seed, auto element) {
    using Q = decltype(element);
    random_source rng(seed);
    const index_t n = rng.pick<index_t>({3, 64, 65, 200, 300}), rows = rng.between(1, 20);
    const scored_layer<bf16> l(rng, n, 2, 2, 24, 16, 0, rng.chance(0.5));
    context<bf16, window_queries_of<Q>> c;
    c.keys = l.c.keys;
    c.values = l.c.values;
    c.positions = l.c.positions;
    std::vector<Q> queries;
    for (index_t i = 0; i < rows * 4 * 24; ++i) queries.push_back(Q(rng.normal()));
    c.queries = view<const Q, 3>(queries.data(), rows, 4, 24);
    std::vector<position_t> positions;  // from among the tokens to behind the last
    auto at = static_cast<position_t>(rng.below(2 * n) - 5);
    for (index_t i = 0; i < rows; ++i)
      positions.push_back(at += static_cast<position_t>(rng.between(1, 4)));
    if (rows > n || rng.chance(0.7))
      c.query_positions = view<const position_t, 1>(positions.data(), rows);
    c.sliding_window = rng.pick<index_t>({0, 1, 7, 64, 100, INT64_MAX, INT64_MAX - 20});
    CAPTURE(seed);
    const auto agree_on = [&](const auto& got, const auto& want) {
      CHECK(relative_difference(got, want) < 5e-5);
    };
    agree_on(token_scores(tova{}, {}, c, 2), reference::score_tokens(tova{}, {}, c));
    agree_on(token_scores(snapkv{}, {12, 3}, c, 2), reference::score_tokens(snapkv{}, {12, 3}, c));
    agree_on(group_scores(attention_mass{}, {0, 3}, c, 8, 2),
             reference::score_groups(attention_mass{}, {0, 3}, c, 8));
  };
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    check(seed, float{});
    check(1000 + seed, bf16{});
    check(2000 + seed, f16{});
  }
}

TEST_CASE("observed attention divides by the queries that could see a token") {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    random_source rng(seed);
    scored_layer<f32> l(rng, 90, 2, 2, 16, 16, 90, seed % 2 == 0);
    l.c.sliding_window = rng.between(1, 120);
    agree(observed_attention{}, {}, l, 2);
  }
}

TEST_CASE("scorers of attention give the same bits for any number of threads") {
  random_source rng(5);
  const scored_layer<bf16> l(rng, 900, 3, 2, 24, 32, 900);
  const auto check = [&](auto scorer, auto params) {
    const auto one = token_scores(scorer, params, l.c, 1);
    for (int threads : {2, 5}) CHECK(token_scores(scorer, params, l.c, threads) == one);
  };
  check(tova{}, tova::params{});
  check(snapkv{}, snapkv::params{});
  check(observed_attention{}, observed_attention::params{});
  check(lag_kv{}, lag_kv::params{});
}

TEST_CASE("the window of SnapKV and the last token of TOVA are finite and above all others") {
  random_source rng(6);
  const scored_layer<f32> l(rng, 90, 2, 2, 16, 16, 12);
  const auto snap = token_scores(snapkv{}, {.window = 10}, l.c);
  const auto last = token_scores(tova{}, {}, l.c);
  for (std::size_t h = 0; h < 2; ++h) {
    const float* const s = snap.data() + h * 90;
    for (int i = 80; i < 90; ++i) CHECK(s[i] > *std::max_element(s, s + 80));
    CHECK(s[89] < 1);
    CHECK(last[h * 90 + 89] > *std::max_element(last.data() + h * 90, last.data() + h * 90 + 89));
  }
}

TEST_CASE("LagKV ranks inside its partitions: each rank once, the ends kept") {
  random_source rng(7);
  const scored_layer<f32> l(rng, 4 + 3 * 16 + 5, 1, 1, 8, 8, 0);
  const auto s = token_scores(lag_kv{}, {.sinks = 4, .lag = 16}, l.c);
  for (int i = 0; i < 4; ++i) CHECK(s[static_cast<std::size_t>(i)] == 1);
  for (std::size_t first : {4, 20}) {
    std::vector<float> part(s.begin() + static_cast<std::ptrdiff_t>(first),
                            s.begin() + static_cast<std::ptrdiff_t>(first + 16));
    std::sort(part.begin(), part.end());
    for (int i = 0; i < 16; ++i)
      CHECK(part[static_cast<std::size_t>(i)] == static_cast<float>(i) / 16);
  }
  for (std::size_t i = 36; i < s.size(); ++i) CHECK(s[i] == 1);
}

TEST_CASE("bad parameters and queries of the attention scorers are refused, nothing written") {
  random_source rng(8);
  scored_layer<f32> l(rng, 40, 2, 2, 16, 16, 12);
  std::vector<float> out(80, -77.0f);
  const aligned_memory ws(1 << 20);
  const auto refused = [&](auto scorer, auto params, auto context, errc code, const char* name) {
    const status s = score_tokens(cpu::backend{}, scorer, params, context,
                                  view<float, 2>(out.data(), 2, 40), ws.workspace());
    CAPTURE(name);
    CHECK(s == code);
    CHECK(std::string(s.argument) == name);
    CHECK(out == std::vector<float>(80, -77.0f));
  };
  refused(snapkv{}, snapkv::params{.window = 0}, l.c, errc::bad_parameter, "window");
  refused(snapkv{}, snapkv::params{.kernel = 4}, l.c, errc::bad_parameter, "kernel");
  refused(snapkv{}, snapkv::params{.kernel = -1}, l.c, errc::bad_parameter, "kernel");
  refused(tova{}, tova::params{NAN}, l.c, errc::bad_parameter, "scale");
  refused(observed_attention{}, observed_attention::params{}, l.c, errc::bad_shape, "queries");
  refused(lag_kv{}, lag_kv::params{.sinks = -1}, l.c, errc::bad_parameter, "sinks");
  refused(lag_kv{}, lag_kv::params{.lag = 0}, l.c, errc::bad_parameter, "lag");
  auto c = l.c;
  c.queries.extent[2] = 8;
  refused(tova{}, tova::params{}, c, errc::bad_shape, "queries");
  c = l.c;
  c.queries.extent[1] = 3;
  refused(snapkv{}, snapkv::params{}, c, errc::heads_not_divisible, "queries");
  c = l.c;
  std::vector<position_t> positions(12, 3);
  c.query_positions = view<const position_t, 1>(positions.data(), 12);
  refused(tova{}, tova::params{}, c, errc::bad_position, "query_positions");
  c.query_positions.extent[0] = 11;
  refused(tova{}, tova::params{}, c, errc::bad_shape, "query_positions");
  c = l.c;
  c.sliding_window = -1;
  refused(tova{}, tova::params{}, c, errc::bad_count, "sliding_window");
  const status pool = score_groups(cpu::backend{}, attention_mass{}, attention_mass::params{0, 2},
                                   l.c, 16, view<float, 3>(out.data(), 2, 40, 1), ws.workspace());
  CHECK(pool == errc::bad_parameter);
  CHECK(std::string(pool.argument) == "pool_kernel");
}

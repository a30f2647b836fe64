#include <algorithm>
#include <cmath>
#include <string>

#include <doctest/doctest.h>

#include <rota/attend/attention.hpp>
#include <rota/budget/global_top_m.hpp>
#include <rota/cpu/normalize.hpp>
#include <rota/score/key_norm.hpp>
#include <rota/score/value_norm.hpp>
#include <rota/select/normalize_reference.hpp>

#include "support/selecting.hpp"

using namespace rota;
using namespace rota_test;

namespace {

using kind = layer_normalization;
const std::vector<kind> kinds = {kind::none, kind::layer_mean, kind::layer_sum, kind::standardize,
                                 kind::rank};

status normalize(select_span& span, score_normalization k, int threads) {
  cpu::thread_pool pool(threads);
  const auto b = pool.get_backend();
  const auto problems = span.problems();
  const auto scores = span.scores();
  const aligned_memory ws(cpu::normalize_scores_workspace_bytes(
      b, k, problems, static_cast<index_t>(span.layers.size())));
  return cpu::normalize_scores(b, k, problems, scores, ws.workspace());
}

/// The same bits, NaN included.
bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](float x, float y) {
    return bit_cast<std::uint32_t>(x) == bit_cast<std::uint32_t>(y);
  });
}

/// Largest difference over the largest magnitude; infinite where one is not finite and the other
/// something else.
double difference(const std::vector<float>& got, const std::vector<float>& want) {
  double worst = 0, largest = 1e-300;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::isfinite(want[i]) && std::isfinite(got[i])) {
      worst = std::max(worst, std::fabs(double{got[i]} - want[i]));
      largest = std::max(largest, std::fabs(double{want[i]}));
    } else if (bit_cast<std::uint32_t>(got[i]) != bit_cast<std::uint32_t>(want[i])) {
      return HUGE_VAL;
    }
  }
  return worst / largest;
}

/// A span whose scores lie within a few orders of magnitude, or collide, or are special.
void fill(std::uint64_t seed, index_t longest, select_span& span) {
  random_source rng(seed);
  fill_span(rng, span, rng.between(1, 4), longest);
  if (rng.chance(0.5)) return;
  for (auto& l : span.layers) {
    const float shift = 3 * rng.normal(), scale = std::exp2(10 * rng.normal());
    for (float& x : l.token_scores) x = scale * (rng.normal() + shift);
    for (float& x : l.group_scores) x = scale * (rng.normal() + shift);
  }
}

}  // namespace

TEST_CASE("normalized scores are the formulas', for any number of threads") {
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    random_source rng(seed + 5000);
    const score_normalization k{rng.pick(kinds), rng.pick(kinds)};
    const index_t longest = seed % 40 == 0 ? 3000 : 90;
    select_span one, want;
    fill(seed, longest, one);
    fill(seed, longest, want);
    REQUIRE(normalize(one, k, 1).ok());
    for (auto& l : want.layers) reference::normalize_scores(k, l.problem, l.scores);
    CAPTURE(seed);
    for (std::size_t l = 0; l < one.layers.size(); ++l) {
      CHECK(difference(one.layers[l].token_scores, want.layers[l].token_scores) < 1e-6);
      CHECK(difference(one.layers[l].group_scores, want.layers[l].group_scores) < 1e-6);
    }
    for (const int threads : {2, 3, 5}) {
      select_span more;
      fill(seed, longest, more);
      REQUIRE(normalize(more, k, threads).ok());
      for (std::size_t l = 0; l < one.layers.size(); ++l) {
        REQUIRE(same_bits(more.layers[l].token_scores, one.layers[l].token_scores));
        REQUIRE(same_bits(more.layers[l].group_scores, one.layers[l].group_scores));
      }
    }
  }
}

TEST_CASE("normalization keeps the order inside a layer") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed)
    for (const kind k : kinds) {
      select_span before, after;
      fill(seed, 40, before);
      fill(seed, 40, after);
      REQUIRE(normalize(after, {k, k}, 2).ok());
      for (std::size_t l = 0; l < before.layers.size(); ++l) {
        std::vector<float> was, is;
        const auto& p = before.layers[l].problem;
        reference::for_ranked_groups(p, before.layers[l].scores,
                                     [&](float x) { was.push_back(x); });
        reference::for_ranked_groups(p, after.layers[l].scores, [&](float x) { is.push_back(x); });
        int turned = 0;
        for (std::size_t i = 0; i < was.size(); ++i)
          for (std::size_t j = 0; j < was.size(); j += 7)
            turned += was[i] <= was[j] && !(is[i] <= is[j]);
        CHECK(turned == 0);
      }
    }
}

TEST_CASE("normalization by hand: what is protected, absent or special") {
  constexpr float inf = std::numeric_limits<float>::infinity();
  const auto tokens = [](kind k, std::vector<float> scores, protection protect) {
    select_span span;
    auto& l = span.layers.emplace_back(static_cast<index_t>(scores.size()), 1, 1);
    l.token_scores = std::move(scores);
    l.scores.tokens.data = l.token_scores.data();
    l.problem.protect = protect;
    REQUIRE(normalize(span, {k, kind::none}, 1).ok());
    return l.token_scores;
  };
  using row = std::vector<float>;
  CHECK(tokens(kind::layer_mean, {99, 1, 3, 99, 99}, {1, 2}) == row{99, 0.5f, 1.5f, 99, 99});
  CHECK(tokens(kind::layer_sum, {99, 1, 3, 99, 99}, {1, 2}) == row{99, 0.25f, 0.75f, 99, 99});
  CHECK(tokens(kind::layer_mean, {-1, -3}, {}) == row{-0.5f, -1.5f});  // the order stays
  CHECK(tokens(kind::standardize, {1, 3}, {}) == row{-1, 1});
  CHECK(tokens(kind::standardize, {0.1f, 0.1f, 0.1f, inf}, {}) == row{0, 0, 0, inf});
  CHECK(tokens(kind::layer_mean, {0, -0.0f, inf, -inf}, {}) == row{0, 0, inf, -inf});
  CHECK(tokens(kind::rank, {5, -inf, 5, inf, 7}, {}) == row{0.375f, 0, 0.375f, 1, 0.75f});
  CHECK(tokens(kind::rank, {3, 8, 4}, {1, 1}) == row{3, 0.5f, 4});
  CHECK(tokens(kind::rank, {0, -0.0f}, {}) == row{0.5f, 0.5f});
  const row nan = tokens(kind::rank, {NAN, 2, 1}, {});
  CHECK((std::isnan(nan[0]) && nan[1] == 1 && nan[2] == 0));
  CHECK(tokens(kind::layer_sum, {1, 2, 3}, {2, 1}) == row{1, 2, 3});  // nothing is ranked
  CHECK(tokens(kind::none, {1, 2, 3}, {}) == row{1, 2, 3});
}

TEST_CASE("a layer whose scores are all larger no longer takes the whole budget") {
  using op = attention<tokens<key_norm, global_top_m>>;
  select_span span;
  random_source rng(1);
  for (int l = 0; l < 2; ++l)
    for (float& x : span.layers.emplace_back(1000, 2, 4).token_scores)
      x = static_cast<float>(rng.uniform()) * (l == 0 ? 1.0f : 1000.0f);
  const cpu::backend b;
  const auto problems = span.problems();
  const auto scores = span.scores();
  const auto out = span.outputs();
  op::params p;
  p.tokens.budget.m = 1000;
  const aligned_memory ws(op::select_workspace_bytes(b, problems));
  const auto share = [&] {
    REQUIRE(op::select(b, problems, p, scores, out, ws.workspace()).ok());
    return out[0].counts(0) + out[0].counts(1);
  };
  CHECK(share() < 5);
  // The group level does not select: it has no scores and needs none.
  auto bare = scores;
  for (layer_scores& s : bare) s.groups = {};
  const score_normalization k{kind::layer_mean, kind::rank};
  const aligned_memory scratch(op::normalize_workspace_bytes(b, k, problems));
  REQUIRE(op::normalize(b, k, problems, bare, scratch.workspace()).ok());
  CHECK(std::abs(share() - 500) < 50);
}

TEST_CASE("normalization refuses what it cannot use and writes nothing then") {
  select_span span;
  random_source rng(2);
  for (int l = 0; l < 2; ++l)
    for (float& x : span.layers.emplace_back(50, 2, 4).token_scores) x = rng.normal();
  const auto before = span.layers[0].token_scores;
  const score_normalization good{kind::rank, kind::rank};
  const cpu::backend b;
  const aligned_memory ws(1 << 16);
  const auto refused = [&](errc code, const char* argument, auto&& spoil) {
    auto k = good;
    auto problems = span.problems();
    auto scores = span.scores();
    auto memory = ws.workspace();
    spoil(k, problems, scores, memory);
    const status s = cpu::normalize_scores(b, k, problems, scores, memory);
    CAPTURE(argument);
    CHECK(s.code == code);
    CHECK(std::string(s.argument) == argument);
    CHECK(same_bits(span.layers[0].token_scores, before));
  };
  using problem_list = std::vector<select_problem>;
  using score_list = std::vector<layer_scores>;
  using normalization = score_normalization;
  refused(errc::bad_parameter, "normalization",
          [](normalization& k, auto&, auto&, auto&) { k.groups = static_cast<kind>(5); });
  refused(errc::bad_shape, "problems",
          [](auto&, problem_list& p, auto&, auto&) { p.push_back(p[0]); });
  refused(errc::bad_shape, "kv_heads",
          [](auto&, problem_list& p, auto&, auto&) { p[1].kv_heads = 0; });
  refused(errc::null_view, "scores.tokens",
          [](auto&, auto&, score_list& s, auto&) { s[1].tokens = view<float, 2>(nullptr, 2, 50); });
  refused(errc::bad_shape, "scores.groups",
          [](auto&, auto&, score_list& s, auto&) { s[1].groups = {}; });
  refused(errc::bad_stride, "scores.tokens",
          [](auto&, auto&, score_list& s, auto&) { s[1].tokens.stride[0] = 1; });
  refused(errc::overlapping_memory, "scores",
          [](auto&, auto&, score_list& s, auto&) { s[1].tokens = s[0].tokens; });
  refused(errc::overlapping_memory, "scores",
          [](auto&, auto&, score_list& s, auto&) { s[1].tokens.data = s[1].groups.data + 20; });
  refused(errc::overlapping_memory, "scores", [](auto&, problem_list& p, score_list& s, auto&) {
    p[0].available =
        view<const group_mask, 2>(reinterpret_cast<group_mask*>(s[1].groups.data), 2, 50);
  });
  refused(errc::overlapping_memory, "ws", [&](auto&, auto&, score_list& s, auto&) {
    s[0].tokens.data = reinterpret_cast<float*>(ws.data()) + 3;
  });
  refused(errc::workspace_too_small, "ws",
          [](auto&, auto&, auto&, workspace& w) { w.bytes = 1000; });
  refused(errc::workspace_too_small, "ws",
          [](auto&, auto&, auto&, workspace& w) { w.data = static_cast<std::byte*>(w.data) + 8; });
  const std::size_t need = cpu::normalize_scores_workspace_bytes(b, good, span.problems(), 2);
  refused(errc::workspace_too_small, "ws",
          [&](auto&, auto&, auto&, workspace& w) { w.bytes = need - 1; });
  CHECK(need < ws.size());
  CHECK(normalize(span, good, 1).ok());
  CHECK(normalize(span, {}, 1).ok());
}

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include <rota/attend/attention.hpp>
#include <rota/budget/global_top_m.hpp>
#include <rota/cuda/cuda.cuh>
#include <rota/score/key_norm.hpp>
#include <rota/select/normalize_reference.hpp>

#include "cuda/device_layers.hpp"

// Normalization on the device against the formulas in double: ranks bit for bit.

using namespace rota_test;
using kind = rota::layer_normalization;
using rota::errc;
using rota::score_normalization;

namespace {

const std::vector<kind> kinds = {kind::none, kind::layer_mean, kind::layer_sum, kind::standardize,
                                 kind::rank};

/// A span on the device.
struct device_span : device_select_layers {
  using device_select_layers::device_select_layers;

  rota::status normalize(const gpu& g, score_normalization k) const {
    const device_workspace ws(rota::cuda::normalize_scores_workspace_bytes(
        g.backend(), k, problems, static_cast<index_t>(scores.size())));
    if (rota::status s = rota::cuda::normalize_scores(g.backend(), k, problems, scores, ws.get());
        !s)
      return s;
    return g.result();
  }
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// Whether the device has what is wanted: by ranks the same bits, else within a millionth of the
/// largest number, and what is not finite just so.
bool agrees(kind k, const std::vector<float>& got, const std::vector<float>& want) {
  if (k == kind::rank || k == kind::none) return same_bits(got, want);
  double worst = 0, largest = 1e-300;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::isfinite(want[i]) && std::isfinite(got[i])) {
      worst = std::max(worst, std::fabs(double{got[i]} - want[i]));
      largest = std::max(largest, std::fabs(double{want[i]}));
    } else if (rota::bit_cast<std::uint32_t>(got[i]) != rota::bit_cast<std::uint32_t>(want[i])) {
      return false;
    }
  }
  return worst <= 1e-6 * largest;
}

/// A span whose scores lie within a few orders of magnitude, or collide, or are special.
void fill(std::uint64_t seed, index_t longest, select_layers& span) {
  random_source rng(seed);
  fill_span(rng, span, rng.between(1, 3), longest);
  if (rng.chance(0.5)) return;
  for (auto& l : span.layers) {
    const float shift = 3 * rng.normal(), scale = std::exp2(10 * rng.normal());
    for (float& x : l.token_scores) x = scale * (rng.normal() + shift);
    for (float& x : l.group_scores) x = scale * (rng.normal() + shift);
  }
}

/// Normalizes a random span under the schedule and compares; returns what the device made of it.
std::vector<float> compare(std::uint64_t seed, std::uint64_t schedule, index_t longest,
                           score_normalization k) {
  select_layers span;
  fill(seed, longest, span);
  const device_span device(span);
  const gpu g(schedule);
  REQUIRE(device.normalize(g, k).ok());
  std::vector<float> all;
  CAPTURE(seed);
  for (std::size_t l = 0; l < span.layers.size(); ++l) {
    rota::reference::normalize_scores(k, span.layers[l].problem, span.layers[l].scores);
    const auto tokens = device.layers[l].token_scores.download();
    const auto groups = device.layers[l].group_scores.download();
    CHECK(agrees(k.tokens, tokens, span.layers[l].token_scores));
    CHECK(agrees(k.groups, groups, span.layers[l].group_scores));
    all.insert(all.end(), tokens.begin(), tokens.end());
    all.insert(all.end(), groups.begin(), groups.end());
  }
  return all;
}

TEST_CASE("normalized scores are the formulas'") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    random_source rng(seed + 5000);
    compare(seed, seed % 4, 90, {rng.pick(kinds), rng.pick(kinds)});
  }
}

TEST_CASE("an old error of the caller's is not taken for one of sorting" *
          doctest::skip(rota_test::emulated)) {
  select_layers span;
  fill(9, 50, span);
  const device_span device(span);
  const gpu g;
  const score_normalization ranks{kind::rank, kind::rank};
  const auto bytes = [&] {
    return rota::cuda::normalize_scores_workspace_bytes(g.backend(), ranks, device.problems,
                                                        static_cast<index_t>(device.scores.size()));
  };
  const std::size_t wanted = bytes();
  leave_an_error();
  CHECK(bytes() == wanted);
  const device_workspace ws(wanted);
  leave_an_error();
  CHECK(rota::cuda::normalize_scores(g.backend(), ranks, device.problems, device.scores, ws.get())
            .ok());
  CHECK(g.result().ok());
}

TEST_CASE("normalized scores do not depend on who is first") {
  for (const kind k : kinds) {
    std::vector<float> first;
    for_each_schedule([&](std::uint64_t schedule) {
      const auto now = compare(7, schedule, 60, {k, k});
      if (first.empty()) first = now;
      CHECK(same_bits(now, first));
    });
  }
}

TEST_CASE("normalized scores of many chunks and of many layers") {
  compare(9, 1, 2600, {kind::standardize, kind::none});
  compare(10, 2, 2600, {kind::rank, kind::layer_sum});
  select_layers span;
  random_source rng(3);
  fill_span(rng, span, 19, 30);  // more than one launch stages
  const device_span device(span);
  const gpu g;
  REQUIRE(device.normalize(g, {kind::rank, kind::layer_mean}).ok());
  for (std::size_t l = 0; l < span.layers.size(); ++l) {
    rota::reference::normalize_scores({kind::rank, kind::layer_mean}, span.layers[l].problem,
                                      span.layers[l].scores);
    CHECK(
        agrees(kind::rank, device.layers[l].token_scores.download(), span.layers[l].token_scores));
    CHECK(agrees(kind::layer_mean, device.layers[l].group_scores.download(),
                 span.layers[l].group_scores));
  }
}

TEST_CASE("normalization with lengths in device memory: nothing behind them is touched") {
  for (const std::int32_t length : {100, 61, 1, 0, 101, -1}) {
    select_layers span;
    auto& l = span.layers.emplace_back(100, 2, 4);
    random_source rng(4);
    for (float& x : l.token_scores) x = rng.normal();
    for (float& x : l.group_scores) x = rng.normal();
    l.problem.protect = {2, 5};
    const device_array<std::int32_t> lengths(std::vector<std::int32_t>{length});
    const device_span device(span, lengths.data());
    const gpu g;
    const score_normalization k{kind::rank, kind::standardize};
    const rota::status s = device.normalize(g, k);
    if (length < 0 || length > 100) {
      CHECK(s == errc::bad_count);
      CHECK(std::string(s.argument) == "length");
    } else {
      REQUIRE(s.ok());
      l.problem.tokens = length;
      rota::reference::normalize_scores(k, l.problem, l.scores);
    }
    CHECK(agrees(k.tokens, device.layers[0].token_scores.download(), l.token_scores));
    CHECK(agrees(k.groups, device.layers[0].group_scores.download(), l.group_scores));
  }
}

TEST_CASE("normalization of views with gaps: what lies between is not touched") {
  constexpr index_t n = 37, heads = 2, groups = 3;
  random_source rng(5);
  std::vector<float> tokens(heads * 50), slices(heads * 50 * 5);
  for (float& x : tokens) x = rng.normal();
  for (float& x : slices) x = rng.normal();
  const device_array<float> on_tokens(tokens), on_slices(slices);
  rota::select_problem p;
  p.tokens = n;
  p.kv_heads = heads;
  p.groups = groups;
  const auto views = [](float* t, float* s) {
    return rota::layer_scores{rota::view<float, 2>(t, {heads, n}, {50, 1}),
                              rota::view<float, 3>(s, {heads, n, groups}, {250, 5, 1})};
  };
  const rota::layer_scores device = views(on_tokens.data(), on_slices.data());
  const score_normalization k{kind::layer_mean, kind::rank};
  const gpu g;
  const device_workspace ws(
      rota::cuda::normalize_scores_workspace_bytes(g.backend(), k, {&p, 1}, 1));
  REQUIRE(rota::cuda::normalize_scores(g.backend(), k, {&p, 1}, {&device, 1}, ws.get()).ok());
  REQUIRE(g.result().ok());
  rota::reference::normalize_scores(k, p, views(tokens.data(), slices.data()));
  CHECK(agrees(k.tokens, on_tokens.download(), tokens));
  CHECK(agrees(k.groups, on_slices.download(), slices));
}

TEST_CASE("normalization by hand: what is protected, absent or special") {
  constexpr float inf = std::numeric_limits<float>::infinity();
  const auto tokens = [](kind k, std::vector<float> scores, rota::protection protect) {
    select_layers span;
    auto& l = span.layers.emplace_back(static_cast<index_t>(scores.size()), 1, 1);
    l.token_scores = std::move(scores);
    l.problem.protect = protect;
    const device_span device(span);
    const gpu g;
    REQUIRE(device.normalize(g, {k, kind::none}).ok());
    return device.layers[0].token_scores.download();
  };
  using row = std::vector<float>;
  CHECK(tokens(kind::layer_mean, {99, 1, 3, 99, 99}, {1, 2}) == row{99, 0.5f, 1.5f, 99, 99});
  CHECK(tokens(kind::standardize, {0.1f, 0.1f, 0.1f, inf}, {}) == row{0, 0, 0, inf});
  CHECK(tokens(kind::layer_mean, {0, -0.0f, inf, -inf}, {}) == row{0, 0, inf, -inf});
  CHECK(tokens(kind::rank, {5, -inf, 5, inf, 7}, {}) == row{0.375f, 0, 0.375f, 1, 0.75f});
  CHECK(tokens(kind::rank, {3, 8, 4}, {1, 1}) == row{3, 0.5f, 4});
  const row nan = tokens(kind::rank, {NAN, 2, 1}, {});
  CHECK((std::isnan(nan[0]) && nan[1] == 1 && nan[2] == 0));
  CHECK(tokens(kind::layer_sum, {1, 2, 3}, {2, 1}) == row{1, 2, 3});  // nothing is ranked
  CHECK(tokens(kind::none, {1, 2, 3}, {}) == row{1, 2, 3});
}

TEST_CASE("a normalized span on the device shares its budget fairly") {
  using op = rota::attention<rota::tokens<rota::key_norm, rota::global_top_m>,
                             rota::cuda::packed<rota::bf16, 16>>;
  select_layers span;
  random_source rng(1);
  for (int l = 0; l < 2; ++l)
    for (float& x : span.layers.emplace_back(120, 1, 4).token_scores)
      x = static_cast<float>(rng.uniform()) * (l == 0 ? 1.0f : 1000.0f);
  const device_span device(span);
  auto bare = device.scores;  // the group level does not select: it has no scores and needs none
  for (rota::layer_scores& s : bare) s.groups = {};
  const device_array<std::int32_t> indices(240), counts(2);
  const device_array<rota::group_mask> masks(240);
  std::vector<rota::selection> out;
  for (index_t l = 0; l < 2; ++l)
    out.push_back({rota::view<std::int32_t, 2>(indices.data() + 120 * l, 1, 120),
                   rota::view<rota::group_mask, 2>(masks.data() + 120 * l, 1, 120),
                   rota::view<std::int32_t, 1>(counts.data() + l, 1)});
  const gpu g;
  op::params p;
  p.tokens.budget.m = 100;
  const device_workspace ws(op::select_workspace_bytes(g.backend(), device.problems));
  const auto share = [&] {
    REQUIRE(op::select(g.backend(), device.problems, p, bare, out, ws.get()).ok());
    REQUIRE(g.result().ok());
    return counts.download()[0];
  };
  CHECK(share() < 5);
  const score_normalization k{kind::layer_mean, kind::rank};
  const device_workspace scratch(op::normalize_workspace_bytes(g.backend(), k, device.problems));
  REQUIRE(op::normalize(g.backend(), k, device.problems, bare, scratch.get()).ok());
  CHECK(std::abs(share() - 50) < 15);
}

TEST_CASE("normalization on the device refuses what it cannot use and writes nothing then") {
  select_layers span;
  random_source rng(2);
  for (int l = 0; l < 2; ++l)
    for (float& x : span.layers.emplace_back(50, 2, 4).token_scores) x = rng.normal();
  const device_span device(span);
  const score_normalization good{kind::rank, kind::rank};
  const gpu g;
  const std::size_t need =
      rota::cuda::normalize_scores_workspace_bytes(g.backend(), good, device.problems, 2);
  const device_workspace ws(need);
  const auto refused = [&](errc code, const char* argument, auto&& spoil) {
    auto k = good;
    auto problems = device.problems;
    auto scores = device.scores;
    auto memory = ws.get();
    spoil(k, problems, scores, memory);
    const rota::status s = rota::cuda::normalize_scores(g.backend(), k, problems, scores, memory);
    CAPTURE(argument);
    CHECK(s.code == code);
    CHECK(std::string(s.argument) == argument);
    CHECK(g.result().ok());
    CHECK(same_bits(device.layers[0].token_scores.download(), span.layers[0].token_scores));
  };
  using problem_list = std::vector<rota::select_problem>;
  using score_list = std::vector<rota::layer_scores>;
  refused(errc::bad_parameter, "normalization",
          [](auto& k, auto&, auto&, auto&) { k.groups = static_cast<kind>(5); });
  refused(errc::bad_shape, "problems",
          [](auto&, problem_list& p, auto&, auto&) { p.push_back(p[0]); });
  refused(errc::bad_shape, "kv_heads",
          [](auto&, problem_list& p, auto&, auto&) { p[1].kv_heads = 0; });
  refused(errc::null_view, "scores.tokens",
          [](auto&, auto&, score_list& s, auto&) { s[1].tokens.data = nullptr; });
  refused(errc::bad_shape, "scores.groups",
          [](auto&, auto&, score_list& s, auto&) { s[1].groups = {}; });
  refused(errc::bad_stride, "scores.tokens",
          [](auto&, auto&, score_list& s, auto&) { s[1].tokens.stride[0] = 1; });
  refused(errc::wrong_memory, "scores.tokens", [&](auto&, auto&, score_list& s, auto&) {
    s[1].tokens.data = span.layers[1].token_scores.data();
  });
  refused(errc::wrong_memory, "available", [&](auto&, problem_list& p, auto&, auto&) {
    p[1].available = rota::view<const rota::group_mask, 2>(span.layers[1].available.data(), 2, 50);
  });
  refused(errc::wrong_memory, "ws", [&](auto&, auto&, auto&, rota::workspace& w) {
    w.data = span.layers[1].token_scores.data();
  });
  refused(errc::overlapping_memory, "scores",
          [](auto&, auto&, score_list& s, auto&) { s[1].tokens = s[0].tokens; });
  refused(errc::overlapping_memory, "scores",
          [](auto&, auto&, score_list& s, auto&) { s[0].tokens.data = s[0].groups.data + 20; });
  refused(errc::overlapping_memory, "scores", [](auto&, problem_list& p, score_list& s, auto&) {
    p[0].available = rota::view<const rota::group_mask, 2>(
        reinterpret_cast<rota::group_mask*>(s[1].groups.data), 2, 50);
  });
  refused(errc::overlapping_memory, "ws", [&](auto&, auto&, score_list& s, rota::workspace& w) {
    s[0].tokens.data = static_cast<float*>(w.data) + 3;
  });
  refused(errc::workspace_too_small, "ws",
          [](auto&, auto&, auto&, rota::workspace& w) { --w.bytes; });
  CHECK(device.normalize(g, good).ok());
  CHECK(device.normalize(g, {}).ok());
  CHECK(rota::cuda::normalize_scores(g.backend(), good, device.problems, {}, {}) ==
        errc::bad_shape);  // two problems and no layer
  CHECK(rota::cuda::normalize_scores(g.backend(), good, {device.problems.data(), 1}, {}, {}).ok());
  CHECK(rota::cuda::normalize_scores_workspace_bytes(g.backend(), good, device.problems, 3) == 0);
}

}  // namespace

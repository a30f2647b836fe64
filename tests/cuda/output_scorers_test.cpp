#include <rota/cuda/score.cuh>
#include <rota/policy/slice_heads.hpp>
#include <rota/score/key_diff.hpp>
#include <rota/score/key_norm.hpp>
#include <rota/score/snapkv.hpp>

#include "cuda/device_scores.hpp"
#include "support/projected_layer.hpp"
#include "support/scoring.hpp"

// Scorers that look behind the output projection, compared with the CPU's.

namespace {

using rota::attention_mass_wo;
using rota::bf16;
using rota::critical;
using rota::errc;
using rota::f16;
using rota::index_t;
using rota::key_norm;
using rota::wo_norm;
using rota_test::device_array;
using rota_test::device_context;
using rota_test::for_each_schedule;
using rota_test::gpu;
using rota_test::projected_layer;
using rota_test::random_source;
using rota_test::relative_difference;
using rota_test::second_stage;

/// Has few levels, so that the cut of a first stage goes through equal scores.
struct few_levels {
  using policy_kind = rota::token_scorer_tag;
  struct params {};
  ROTA_HD static float score(const params&, const rota::token_ref& t) {
    return static_cast<float>(t.index * 7 % 3);
  }
};

template <class Layer>
void compare_slices(std::uint64_t schedule, const Layer& l, int width) {
  CAPTURE(width);
  CHECK(relative_difference(rota_test::device_group_scores(schedule, wo_norm{}, {}, l.c, width),
                            rota_test::group_scores(wo_norm{}, {}, l.c, width)) < 1e-5);
  for (const rota::mass_pooling& p : {rota::mass_pooling{}, rota::mass_pooling{0.3f, 5}})
    CHECK(relative_difference(
              rota_test::device_group_scores(schedule, attention_mass_wo{}, p, l.c, width),
              rota_test::group_scores(attention_mass_wo{}, p, l.c, width)) < 1e-5);
}

TEST_CASE("slices behind the output projection are measured as on the CPU") {
  random_source rng(1);
  const projected_layer<bf16> usual(rng, 70, 2, 2, 2, 30);
  const projected_layer<f16> wide(rng, 65, 1, 3, 1, 40, 72);
  const projected_layer<float> narrow(rng, 3, 3, 1, 5, 7, 4);
  for_each_schedule([&](std::uint64_t schedule) { compare_slices(schedule, narrow, 4); });
  compare_slices(1, usual, 8);
  compare_slices(2, wide, 72);
  const projected_layer<float> odd(rng, 64, 1, 2, 3, 30, 12);
  compare_slices(3, odd, 12);
}

/// The same tokens make up the first stage, the others' scores are close.
template <class Base, class Layer>
void compare_critical(std::uint64_t schedule, const Layer& l,
                      const typename critical<Base>::params& p) {
  const auto got = rota_test::device_token_scores(schedule, critical<Base>{}, p, l.c);
  const auto want = rota_test::token_scores(critical<Base>{}, p, l.c);
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK((got[i] > 1e38f) == (want[i] > 1e38f));
  const auto late = second_stage(rota_test::doubles(got));
  CHECK(relative_difference(std::vector<float>(late.begin(), late.end()),
                            second_stage(rota_test::doubles(want))) < 1e-5);
}

TEST_CASE("CriticalKV scores as on the CPU") {
  random_source rng(2);
  const projected_layer<bf16> few(rng, 9, 2, 2, 1, 12);
  for_each_schedule([&](std::uint64_t schedule) {
    compare_critical<key_norm>(schedule, few, {{}, 6, 0.5, 1e-4f});
    compare_critical<few_levels>(schedule, few, {{}, 10, 0.5, 0.1f});
  });
  const projected_layer<float> usual(rng, 70, 2, 1, 3, 70, 12);
  compare_critical<rota::key_diff>(1, usual, {{}, 40, 0.6, 2.0f});
  compare_critical<rota::snapkv>(2, usual, {{3, 3, 0}, 0, 0.5, 1e-4f});  // no first stage
  compare_critical<rota::snapkv>(3, usual, {{3, 3, 0}, 1, 0.1, 1e-4f});  // of one token
  compare_critical<few_levels>(1, usual, {{}, 30, 1.0, 0.0f});
  compare_critical<few_levels>(2, usual, {{}, 500, 1.0, 0.0f});  // everything
  const projected_layer<f16> odd(rng, 65, 3, 2, 3, 5, 24);
  compare_critical<key_norm>(3, odd, {{}, 20, 0.0, 0.5f});
}

TEST_CASE("CriticalKV: more rows of W_O than are split at a time, more tokens than a chunk") {
  random_source rng(3);
  const projected_layer<bf16> tall(rng, 3, 1, 1, 1, 1030);
  compare_critical<key_norm>(1, tall, {{}, 2, 0.5, 1e-4f});
  const projected_layer<bf16> longer(rng, 1100, 1, 1, 1, 2);
  compare_critical<few_levels>(1, longer, {{}, 1000, 1.0, 1e-4f});
}

constexpr index_t capacity = 90, length = 67;

template <class Context>
Context shortened(Context c) {
  c.keys.extent[0] = length;
  c.values.extent[0] = length;
  return c;
}

/// The first `length` of `capacity` tokens are as on the CPU, what lies behind is not written.
void check_shorter(const std::vector<float>& got, const std::vector<float>& want, index_t groups) {
  std::vector<float> before;
  const auto width = static_cast<std::size_t>(capacity * groups);
  for (std::size_t i = 0; i < got.size(); ++i)
    if (i % width < static_cast<std::size_t>(length * groups))
      before.push_back(got[i]);
    else
      CHECK(got[i] != got[i]);
  CHECK(relative_difference(before, want) < 1e-5);
}

TEST_CASE("scorers behind the output projection read a length that lies in device memory") {
  random_source rng(4);
  const projected_layer<bf16> l(rng, capacity, 2, 1, 2, 20);
  const device_array<std::int32_t> tokens(std::vector<std::int32_t>{length});
  auto host = l.c;
  host.device_tokens = tokens.data();
  check_shorter(rota_test::device_group_scores(0, wo_norm{}, {}, host, 8),
                rota_test::group_scores(wo_norm{}, {}, shortened(l.c), 8), 2);
  check_shorter(rota_test::device_group_scores(0, attention_mass_wo{}, {0, 3}, host, 8),
                rota_test::group_scores(attention_mass_wo{}, {0, 3}, shortened(l.c), 8), 2);
  for (const index_t keep : {0, 40, 80}) {
    const critical<rota::key_diff>::params p{{}, keep, 0.9, 1e-4f};
    auto got = rota_test::device_token_scores(0, critical<rota::key_diff>{}, p, host);
    auto want = rota_test::token_scores(critical<rota::key_diff>{}, p, shortened(l.c));
    for (std::vector<float>* x : {&got, &want})
      for (float& score : *x) score = score > 1e38f ? 1 : score;
    check_shorter(got, want, 1);
  }
}

/// Scores of one kv head, whose views have strides, into rows that have gaps.
template <class Score>
std::vector<float> scores_of_head(const projected_layer<bf16>& l, index_t h, Score&& score) {
  const gpu g;
  const device_context<decltype(l.c)> d(l.c);
  auto one = d.c;
  rota::slice_heads(static_cast<const rota::window_queries&>(d.c), h, 2, one);
  rota::slice_heads(static_cast<const rota::output_projection&>(d.c), h, 2, one);
  rota::slice_heads(static_cast<const rota::output_gram&>(d.c), h, 2, one);
  one.keys.data += h * one.keys.stride[1];
  one.values.data += h * one.values.stride[1];
  one.keys.extent[1] = one.values.extent[1] = 1;
  const device_array<float> out(static_cast<std::size_t>(one.tokens() * 8));
  const rota_test::device_workspace ws(1 << 20);
  REQUIRE(score(g.backend(), one, out.data(), ws.get()).ok());
  REQUIRE(g.result().ok());
  return out.download();
}

TEST_CASE("views with strides, and rows of scores with gaps") {
  random_source rng(5);
  const index_t n = 20;
  const projected_layer<bf16> l(rng, n, 2, 2, 2, 12);
  const critical<key_norm>::params p{{}, 8, 0.5, 1e-4f};
  const auto whole = rota_test::device_token_scores(0, critical<key_norm>{}, p, l.c);
  const auto slices = rota_test::device_group_scores(0, attention_mass_wo{}, {}, l.c, 8);
  for (index_t h = 0; h < 2; ++h) {
    const auto mine = scores_of_head(l, h, [&](const auto& b, const auto& c, float* out, auto ws) {
      return score_tokens(b, critical<key_norm>{}, p, c,
                          rota::view<float, 2>(out, {1, n}, {3 * n, 1}), ws);
    });
    const auto my = scores_of_head(l, h, [&](const auto& b, const auto& c, float* out, auto ws) {
      return score_groups(b, attention_mass_wo{}, {}, c, 8,
                          rota::view<float, 3>(out, {1, n, 2}, {3 * n, 3, 1}), ws);
    });
    for (index_t i = 0; i < n; ++i) {
      const auto at = static_cast<std::size_t>(h * n + i), own = static_cast<std::size_t>(i);
      CHECK(mine[own] == whole[at]);
      CHECK(my[3 * own] == slices[2 * at]);
      CHECK(my[3 * own + 1] == slices[2 * at + 1]);
      CHECK(my[3 * own + 2] != my[3 * own + 2]);
    }
  }
}

struct refusals {
  static constexpr index_t n = 10;
  random_source rng{6};
  projected_layer<bf16> l{rng, n, 2, 2, 2, 12};
  device_context<decltype(l.c)> d{l.c};

  /// The call is refused and writes nothing.
  template <class Score>
  void refuse(errc code, const char* name, Score&& score, std::size_t workspace = 1 << 20) const {
    const gpu g;
    const device_array<float> out(2 * n * 2);
    const rota_test::device_workspace ws(workspace);
    const rota::status s = score(g.backend(), out.data(), ws.get());
    CAPTURE(name);
    CHECK(s == code);
    CHECK(std::string(s.argument) == name);
    CHECK(g.result().ok());
    for (const float x : out.download()) CHECK(x != x);
  }
  template <class Spoil>
  void refuse_slices(errc code, const char* name, Spoil&& spoil, rota::mass_pooling p = {}) const {
    auto c = d.c;
    spoil(c);
    const auto slices = [&](auto scorer, const auto& params) {
      refuse(code, name, [&](const auto& b, float* out, auto ws) {
        return score_groups(b, scorer, params, c, 8, rota::view<float, 3>(out, 2, n, 2), ws);
      });
    };
    if (std::string(name) == "gram") slices(wo_norm{}, wo_norm::params{});
    slices(attention_mass_wo{}, p);
  }
  template <class Spoil>
  void refuse_tokens(errc code, const char* name, Spoil&& spoil,
                     std::size_t workspace = 1 << 20) const {
    auto c = d.c;
    critical<key_norm>::params p{{}, 4, 0.5, 1e-4f};
    spoil(c, p);
    refuse(
        code, name,
        [&](const auto& b, float* out, auto ws) {
          return score_tokens(b, critical<key_norm>{}, p, c, rota::view<float, 2>(out, 2, n), ws);
        },
        workspace);
  }
};

TEST_CASE("bad projections are refused by name, nothing written") {
  const refusals r;
  r.refuse_slices(errc::bad_shape, "gram", [](auto& c) { c.gram.extent[1] = 1; });
  r.refuse_slices(errc::bad_stride, "gram", [](auto& c) { c.gram.stride[2] = 9; });
  r.refuse_slices(errc::null_view, "gram", [](auto& c) { c.gram.data = nullptr; });
  r.refuse_slices(errc::wrong_memory, "gram", [&](auto& c) { c.gram.data = r.l.c.gram.data; });
  const auto as_it_is = [](auto&) {};
  r.refuse_slices(errc::bad_parameter, "pool_kernel", as_it_is, {0, 2});
  r.refuse_slices(errc::bad_parameter, "scale", as_it_is, {-1, 1});
  r.refuse_slices(errc::bad_shape, "queries", [](auto& c) { c.queries.extent[2] = 8; });

  r.refuse_tokens(errc::bad_shape, "weights", [](auto& c, auto&) { c.weights.extent[2] = 8; });
  r.refuse_tokens(errc::heads_not_divisible, "weights",
                  [](auto& c, auto&) { c.weights.extent[1] = 3; });
  r.refuse_tokens(errc::null_view, "weights", [](auto& c, auto&) { c.weights.data = nullptr; });
  r.refuse_tokens(errc::bad_stride, "weights", [](auto& c, auto&) { c.weights.stride[2] = 2; });
  r.refuse_tokens(errc::wrong_memory, "weights",
                  [&](auto& c, auto&) { c.weights.data = r.l.c.weights.data; });
  r.refuse_tokens(errc::bad_parameter, "keep", [](auto&, auto& p) { p.keep = -1; });
  r.refuse_tokens(errc::bad_parameter, "first_share", [](auto&, auto& p) { p.first_share = 1.5; });
  r.refuse_tokens(errc::bad_parameter, "epsilon", [](auto&, auto& p) { p.epsilon = NAN; });
  r.refuse_tokens(
      errc::workspace_too_small, "ws", [](auto&, auto&) {}, 64);
}

TEST_CASE("no tokens, and no rows of W_O") {
  const refusals r;
  const gpu g;
  const device_array<float> out(2 * refusals::n);
  const rota_test::device_workspace ws(1 << 20);
  auto c = r.d.c;
  c.weights.extent[0] = 0;
  const rota::view<float, 2> all(out.data(), 2, refusals::n);
  REQUIRE(score_tokens(g.backend(), critical<key_norm>{}, {}, c, all, ws.get()).ok());
  REQUIRE(g.result().ok());
  for (const float x : out.download()) CHECK(x == 0);
  c = r.d.c;
  c.keys.extent[0] = c.values.extent[0] = c.queries.extent[0] = 0;
  const rota::view<float, 2> none(out.data(), 2, 0);
  CHECK(score_tokens(g.backend(), critical<key_norm>{}, {{}, 4}, c, none, ws.get()).ok());
  const rota::view<float, 3> no_groups(out.data(), 2, 0, 2);
  CHECK(score_groups(g.backend(), attention_mass_wo{}, {}, c, 8, no_groups, ws.get()).ok());
  CHECK(g.result().ok());
}

}  // namespace

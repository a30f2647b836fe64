#include <algorithm>
#include <cstring>
#include <string>

#include <rota/cuda/select.cuh>

#include "cuda/gpu.hpp"
#include "support/select_layers.hpp"
#include "support/select_params.hpp"

// Selection on the device against sorting: the same sets, bit for bit.

using namespace rota_test;
using rota::all_groups;
using rota::all_tokens;
using rota::budget_scope;
using rota::errc;

namespace {

/// A layer's memory on the device.
struct device_select_layer {
  device_array<float> token_scores, group_scores;
  device_array<rota::group_mask> available, masks;
  device_array<std::uint8_t> types;
  device_array<std::int32_t> indices, counts;
  rota::select_problem problem;
  rota::layer_scores scores;
  rota::selection out;

  explicit device_select_layer(const select_layer_memory& host)
      : token_scores(host.token_scores),
        group_scores(host.group_scores),
        available(host.available),
        masks(host.masks),
        types(host.types),
        indices(host.indices),
        counts(host.counts),
        problem(host.problem),
        scores(host.scores),
        out(host.out) {
    scores.tokens.data = token_scores.data();
    scores.groups.data = group_scores.data();
    if (problem.available.data != nullptr) problem.available.data = available.data();
    if (problem.types.data != nullptr) problem.types.data = types.data();
    out.indices.data = indices.data();
    out.masks.data = masks.data();
    out.counts.data = counts.data();
  }
  void copy_to(select_layer_memory& host) const {
    const auto copy = [](const auto& from, auto& to) {
      const auto values = from.download();
      std::copy(values.begin(), values.end(), to.begin());  // views point into it
    };
    copy(indices, host.indices);
    copy(masks, host.masks);
    copy(counts, host.counts);
  }
};

/// Selects on the device and copies the outputs back.
template <class Tokens, class Groups>
rota::status select_on_device(const gpu& g, select_layers& span,
                              const typename Tokens::params& tokens,
                              const typename Groups::params& groups,
                              const std::int32_t* lengths = nullptr) {
  std::deque<device_select_layer> layers;
  std::vector<rota::select_problem> problems;
  std::vector<rota::layer_scores> scores;
  std::vector<rota::selection> out;
  for (auto& l : span.layers) {
    l.reset();
    layers.emplace_back(l);
    problems.push_back(layers.back().problem);
    if (lengths != nullptr) problems.back().device_tokens = lengths + problems.size() - 1;
    scores.push_back(layers.back().scores);
    out.push_back(layers.back().out);
  }
  const device_workspace ws(rota::cuda::select_workspace_bytes<Tokens, Groups>(
      g.backend(), problems, static_cast<index_t>(layers.size())));
  const rota::status s = rota::cuda::select<Tokens, Groups>(g.backend(), problems, tokens, groups,
                                                            scores, out, ws.get());
  if (!s) return s;
  const rota::status result = g.result();
  for (std::size_t l = 0; l < layers.size(); ++l) layers[l].copy_to(span.layers[l]);
  return result;
}

struct tally {
  int same = 0, refused = 0;
};

/// A random span of layers under random parameters.
template <class Tokens, class Groups>
void compare(std::uint64_t seed, index_t longest, tally& seen) {
  random_source rng(seed);
  select_layers span;
  fill_span(rng, span, rng.between(1, 4), longest);
  const auto tp = random_params<Tokens>(rng, longest);
  const auto gp = random_params<Groups>(rng, longest);
  std::vector<rota::reference::layer_selection> want;
  const rota::status expected =
      rota::reference::select<Tokens, Groups>(span.problems(), tp, gp, span.scores(), want);
  const gpu g(seed % 4);
  const rota::status got = select_on_device<Tokens, Groups>(g, span, tp, gp);
  CAPTURE(seed);
  REQUIRE(got.code == expected.code);
  REQUIRE(std::string(got.argument) == expected.argument);
  for (std::size_t l = 0; l < span.layers.size(); ++l) {
    if (got.ok())
      REQUIRE(span.layers[l].selected() == want[l]);
    else
      REQUIRE(span.layers[l].is_untouched());
  }
  ++(got.ok() ? seen.same : seen.refused);
}

template <class Budget>
void compare_levels(std::uint64_t seed, index_t longest, tally& seen) {
  compare<by_token<Budget>, by_group<rota::keep_ratio>>(seed, longest, seen);
  compare<all_tokens, by_group<Budget>>(seed, longest, seen);
  compare<by_token<Budget>, by_group<Budget>>(seed, longest, seen);
}

template <class Budget>
void compare_budget(std::uint64_t first, int rounds, index_t longest, int same, int refused) {
  tally seen;
  for (int i = 0; i < rounds; ++i)
    compare_levels<Budget>(first + static_cast<std::uint64_t>(i), longest, seen);
  CHECK(seen.same >= same);  // both outcomes must have been met often
  CHECK(seen.refused >= refused);
}

TEST_CASE("selection equals sorting: counts and ratios") {
  compare_budget<rota::keep_ratio>(1, 16, 70, 20, 3);
  compare_budget<rota::top_m<budget_scope::layer>>(100, 16, 70, 20, 3);
  compare_budget<rota::keep_ratio_in<budget_scope::span>>(200, 16, 70, 20, 3);
}

TEST_CASE("selection equals sorting: floors and pyramids") {
  compare_budget<rota::head_adaptive>(300, 16, 70, 20, 3);
  compare_budget<rota::pyramid>(400, 16, 70, 20, 3);
}

TEST_CASE("selection equals sorting: each token alone") {
  tally seen;
  for (std::uint64_t seed = 500; seed < 520; ++seed) {
    compare<all_tokens, by_group<rota::fixed_k>>(seed, 70, seen);
    compare<by_token<rota::adaptive_span>, by_group<rota::adaptive_span>>(seed, 70, seen);
    compare<all_tokens, by_group<rota::entropy_span>>(seed, 70, seen);
    compare<by_token<rota::keep_ratio>, by_group<rota::k_by_type<3>>>(seed, 70, seen);
    compare<all_tokens, all_groups>(seed, 70, seen);
  }
  CHECK(seen.same > 80);
}

TEST_CASE("selection equals sorting over many chunks") {
  tally seen;
  for (std::uint64_t seed = 600; seed < 604; ++seed) {
    compare<by_token<rota::head_adaptive>, by_group<rota::global_top_m>>(seed, 3000, seen);
    compare<by_token<rota::keep_ratio>, by_group<rota::keep_ratio>>(seed, 3000, seen);
  }
  CHECK(seen.same >= 4);
}

/// As a user writes a budget whose count is computed on the device.
struct count_on_device {
  using policy_kind = rota::budget_tag;
  struct params {
    const std::int32_t* count = nullptr;  ///< device memory
  };
  static constexpr budget_scope scope = budget_scope::layer;
  static rota::status check(const params&) { return {}; }
  ROTA_HD static index_t count(const params& p, index_t) {
#if defined(__CUDACC__) && !defined(__CUDA_ARCH__)
    return 0;  // never asked on the host
#else
    return rota::cuda::ptx::load(p.count);
#endif
  }
};

TEST_CASE("counts and lengths in device memory") {
  select_layers span;
  auto& layer = span.layers.emplace_back(100, 2, 4);
  random_source rng(7);
  for (float& x : layer.token_scores) x = rng.normal();
  const device_array<std::int32_t> count(std::vector<std::int32_t>{30});
  for (const std::int32_t length : {100, 60, 101, -1}) {
    const device_array<std::int32_t> lengths(std::vector<std::int32_t>{length});
    const gpu g;
    const rota::status s = select_on_device<by_token<count_on_device>, all_groups>(
        g, span, {{}, {count.data()}}, {}, lengths.data());
    if (length < 0 || length > 100) {
      CHECK(s == errc::bad_count);
      CHECK(std::strcmp(s.argument, "length") == 0);
      CHECK(layer.is_untouched());
      continue;
    }
    REQUIRE(s.ok());
    CHECK(layer.out.counts(0) + layer.out.counts(1) == 30);
    for (index_t h = 0; h < 2; ++h)
      for (index_t i = 0; i < layer.out.counts(h); ++i) CHECK(layer.out.indices(h, i) < length);
  }
}

TEST_CASE("more layers than one launch carries") {
  select_layers span;
  random_source rng(8);
  fill_span(rng, span, 20, 40);
  for (auto& l : span.layers) l.problem.protect = {};
  std::vector<rota::reference::layer_selection> want;
  const rota::global_top_m::params m{300};
  REQUIRE(rota::reference::select<all_tokens, by_group<rota::global_top_m>>(
              span.problems(), {}, {{}, m}, span.scores(), want)
              .ok());
  const gpu g;
  REQUIRE(select_on_device<all_tokens, by_group<rota::global_top_m>>(g, span, {}, {{}, m}).ok());
  for (std::size_t l = 0; l < 20; ++l) CHECK(span.layers[l].selected() == want[l]);
}

#if !defined(__CUDACC__)
TEST_CASE("a selection takes so many launches") {
  select_layers span;
  span.layers.emplace_back(50, 1, 4);
  const gpu g;
  REQUIRE(select_on_device<by_token<rota::keep_ratio>, by_group<rota::keep_ratio>>(g, span, {}, {})
              .ok());
  CHECK(g.emulator().launches() == 26);  // docs/cuda.md
}
#endif

TEST_CASE("types that there are not are reported") {
  select_layers span;
  auto& layer = span.layers.emplace_back(50, 1, 4);
  layer.types[49] = 3;
  layer.problem.types = rota::view<const std::uint8_t, 1>(layer.types.data(), 50);
  const gpu g;
  const rota::status s =
      select_on_device<all_tokens, by_group<rota::k_by_type<3>>>(g, span, {}, {{}, {{1, 2, 3}}});
  CHECK(s == errc::bad_parameter);
  CHECK(std::strcmp(s.argument, "types") == 0);
  CHECK(layer.is_untouched());
}

}  // namespace

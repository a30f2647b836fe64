#include <algorithm>
#include <cstring>
#include <string>

#include <rota/cuda/select.cuh>

#include "cuda/device_layers.hpp"
#include "support/select_params.hpp"

// Selection on the device against sorting: the same sets, bit for bit.

using namespace rota_test;
using rota::budget_scope;
using rota::errc;
using rota::keep_all;

namespace {

/// Selects on the device and copies the outputs back.
template <class Tokens, class Groups>
rota::status select_on_device(const gpu& g, select_layers& span,
                              const typename Tokens::params& tokens,
                              const typename Groups::params& groups,
                              const std::int32_t* lengths = nullptr) {
  const device_select_layers on(span, lengths);
  const device_workspace ws(rota::cuda::select_workspace_bytes<Tokens, Groups>(
      g.backend(), on.problems, static_cast<index_t>(on.layers.size())));
  const rota::status s = rota::cuda::select<Tokens, Groups>(g.backend(), on.problems, tokens,
                                                            groups, on.scores, on.out, ws.get());
  if (!s) return s;
  const rota::status result = g.result();
  on.copy_to(span);
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
  compare<Budget, rota::keep_ratio>(seed, longest, seen);
  compare<keep_all, Budget>(seed, longest, seen);
  compare<Budget, Budget>(seed, longest, seen);
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
    compare<keep_all, rota::fixed_k>(seed, 70, seen);
    compare<rota::adaptive_span, rota::adaptive_span>(seed, 70, seen);
    compare<keep_all, rota::entropy_span>(seed, 70, seen);
    compare<rota::keep_ratio, rota::k_by_type<3>>(seed, 70, seen);
    compare<keep_all, keep_all>(seed, 70, seen);
  }
  CHECK(seen.same > 80);
}

TEST_CASE("selection equals sorting over many chunks") {
  tally seen;
  for (std::uint64_t seed = 600; seed < 604; ++seed) {
    compare<rota::head_adaptive, rota::global_top_m>(seed, 3000, seen);
    compare<rota::keep_ratio, rota::keep_ratio>(seed, 3000, seen);
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
    const rota::status s =
        select_on_device<count_on_device, keep_all>(g, span, {count.data()}, {}, lengths.data());
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

/// A budget at either level, its parameters in device memory, against the same in the call.
template <class Budget>
void compare_on_device(std::uint64_t seed, int& refused) {
  random_source rng(seed);
  select_layers span;
  fill_span(rng, span, 2, 50);
  device_array<typename Budget::params> there(1);
  const auto check = [&](auto tokens, auto groups, auto tokens_there, auto groups_there,
                         const auto& tp, const auto& gp, const auto& tp_there,
                         const auto& gp_there) {
    std::vector<rota::reference::layer_selection> want;
    const rota::status expected = rota::reference::select<decltype(tokens), decltype(groups)>(
        span.problems(), tp, gp, span.scores(), want);
    const gpu g(seed % 4);
    const rota::status got = select_on_device<decltype(tokens_there), decltype(groups_there)>(
        g, span, tp_there, gp_there);
    CAPTURE(seed);
    REQUIRE(got.code == expected.code);
    refused += !got.ok();
    for (std::size_t l = 0; l < span.layers.size() && got.ok(); ++l)
      REQUIRE(span.layers[l].selected() == want[l]);
  };
  const auto gp = random_params<Budget>(rng, 50);
  there.upload({gp});
  check(keep_all{}, Budget{}, keep_all{}, rota::cuda::device_budget<Budget>{}, keep_all::params{},
        gp, keep_all::params{}, typename rota::cuda::device_budget<Budget>::params{there.data()});
  if constexpr (rota::counting_budget<Budget> || rota::threshold_budget<Budget>)
    check(Budget{}, keep_all{}, rota::cuda::device_budget<Budget>{}, keep_all{}, gp,
          keep_all::params{}, typename rota::cuda::device_budget<Budget>::params{there.data()},
          keep_all::params{});
}

TEST_CASE("budgets in device memory") {
  int refused = 0;
  for (std::uint64_t seed = 700; seed < 708; ++seed) {
    compare_on_device<rota::keep_ratio>(seed, refused);
    compare_on_device<rota::global_top_m>(seed, refused);
    compare_on_device<rota::head_adaptive>(seed, refused);
    compare_on_device<rota::pyramid>(seed, refused);
    compare_on_device<rota::fixed_k>(seed, refused);
    compare_on_device<rota::adaptive_span>(seed, refused);
    compare_on_device<rota::entropy_span>(seed, refused);
    compare_on_device<rota::k_by_type<3>>(seed, refused);
  }
  CHECK(refused > 5);
  CHECK(refused < 60);
}

TEST_CASE("budgets in device memory are checked there") {
  using ratio = rota::cuda::device_budget<rota::keep_ratio>;
  using by_type = rota::cuda::device_budget<rota::k_by_type<2>>;
  select_layers span;
  span.layers.emplace_back(50, 1, 4);
  for (const double bad : {-0.1, 1.5, static_cast<double>(NAN)}) {
    const device_array<rota::keep_ratio::params> there(
        std::vector<rota::keep_ratio::params>{{bad}});
    const gpu g;
    const rota::status tokens = select_on_device<ratio, keep_all>(g, span, {there.data()}, {});
    CHECK(tokens == errc::bad_ratio);
    CHECK(std::string(tokens.argument) == "tokens");
    CHECK(span.layers[0].is_untouched());
    const gpu h;
    const rota::status groups = select_on_device<keep_all, ratio>(h, span, {}, {there.data()});
    CHECK(groups == errc::bad_ratio);
    CHECK(std::string(groups.argument) == "groups");
  }
  const device_array<rota::k_by_type<2>::params> types(
      std::vector<rota::k_by_type<2>::params>{{{1, -1}}});
  const gpu g;
  CHECK(select_on_device<keep_all, by_type>(g, span, {}, {types.data()}) == errc::bad_count);
  CHECK(span.layers[0].is_untouched());
  const rota::keep_ratio::params on_host;
  const auto refused = [&](const rota::keep_ratio::params* at) {
    const gpu h;
    return select_on_device<ratio, keep_all>(h, span, {at}, {});
  };
  CHECK(refused(nullptr) == errc::null_view);
  CHECK(refused(&on_host) == errc::wrong_memory);
}

TEST_CASE("more layers than one launch carries") {
  select_layers span;
  random_source rng(8);
  fill_span(rng, span, 20, 40);
  for (auto& l : span.layers) l.problem.protect = {};
  std::vector<rota::reference::layer_selection> want;
  const rota::global_top_m::params m{300};
  REQUIRE(rota::reference::select<keep_all, rota::global_top_m>(span.problems(), {}, m,
                                                                span.scores(), want)
              .ok());
  const gpu g;
  REQUIRE(select_on_device<keep_all, rota::global_top_m>(g, span, {}, m).ok());
  for (std::size_t l = 0; l < 20; ++l) CHECK(span.layers[l].selected() == want[l]);
}

TEST_CASE("units of more rows than a warp has lanes") {
  select_layers span;
  random_source rng(9);
  for (const index_t heads : {34, 1}) {
    auto& layer = span.layers.emplace_back(20, heads, 3);
    for (float& x : layer.token_scores) x = std::floor(3 * rng.normal());  // ties
    for (float& x : layer.group_scores) x = rng.normal();
    layer.problem.protect.sinks = 1;
  }
  using tokens = rota::head_adaptive;
  using groups = rota::global_top_m;
  tokens::params tp;
  tp.ratio = 0.4;
  groups::params gp;
  gp.m = 400;
  std::vector<rota::reference::layer_selection> want;
  REQUIRE(
      rota::reference::select<tokens, groups>(span.problems(), tp, gp, span.scores(), want).ok());
  for (std::uint64_t seed = 1; seed < 3; ++seed) {
    const gpu g(seed);
    REQUIRE(select_on_device<tokens, groups>(g, span, tp, gp).ok());
    for (std::size_t l = 0; l < 2; ++l) CHECK(span.layers[l].selected() == want[l]);
  }
  const gpu g;  // the sinks have 105 groups
  gp.m = 100;
  CHECK(select_on_device<tokens, groups>(g, span, tp, gp) == errc::budget_too_small);
}

#if !defined(__CUDACC__)
TEST_CASE("a selection takes so many launches") {
  select_layers span;
  span.layers.emplace_back(50, 1, 4);
  const gpu g;
  REQUIRE(select_on_device<rota::keep_ratio, rota::keep_ratio>(g, span, {}, {}).ok());
  CHECK(g.emulator().launches() == 26);  // docs/cuda.md
}
#endif

TEST_CASE("types that there are not are reported") {
  select_layers span;
  auto& layer = span.layers.emplace_back(50, 1, 4);
  layer.types[49] = 3;
  layer.problem.types = rota::view<const std::uint8_t, 1>(layer.types.data(), 50);
  const gpu g;
  const rota::status s = select_on_device<keep_all, rota::k_by_type<3>>(g, span, {}, {{1, 2, 3}});
  CHECK(s == errc::bad_parameter);
  CHECK(std::strcmp(s.argument, "types") == 0);
  CHECK(layer.is_untouched());
}

}  // namespace

#include <algorithm>

#include <doctest/doctest.h>

#include <rota/budget/adaptive_span.hpp>
#include <rota/budget/entropy_span.hpp>
#include <rota/score/value_norm.hpp>

#include "support/selecting.hpp"

using namespace rota;
using namespace rota_test;

namespace {

float calibrated(const std::vector<float>& scores, index_t heads, index_t n, index_t groups,
                 double mean_k, int threads) {
  cpu::thread_pool pool(threads);
  const auto b = pool.get_backend();
  const aligned_memory ws(cpu::calibrate_span_workspace_bytes(b));
  float tau = -99;
  const status s = cpu::calibrate_span(b, view<const float, 3>(scores.data(), heads, n, groups),
                                       mean_k, tau, ws.workspace());
  CHECK(s.ok());
  return tau;
}

}  // namespace

TEST_CASE("tau is the M-th best score") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    random_source rng(seed);
    const index_t heads = rng.between(1, 3), n = rng.between(1, 3000), groups = rng.between(1, 16);
    std::vector<float> scores(static_cast<std::size_t>(heads * n * groups));
    fill_scores(rng, scores);
    const double mean_k = rng.uniform() * static_cast<double>(groups);
    const index_t m = std::llround(mean_k * static_cast<double>(heads * n));
    const float tau = calibrated(scores, heads, n, groups, mean_k, 1 + static_cast<int>(seed % 3));
    std::vector<float> sorted;
    for (float x : scores)
      if (x == x) sorted.push_back(x);
    std::sort(sorted.rbegin(), sorted.rend());
    constexpr float inf = std::numeric_limits<float>::infinity();
    CAPTURE(seed);
    if (m == 0)
      CHECK(tau == inf);
    else if (m > static_cast<index_t>(sorted.size()))
      CHECK(tau == -inf);
    else
      CHECK(tau == sorted[static_cast<std::size_t>(m - 1)]);
  }
}

TEST_CASE("selection by a calibrated tau keeps mean_k groups a token") {
  random_source rng(7);
  select_span span;
  auto& m = span.layers.emplace_back(500, 2, 8);
  for (float& x : m.group_scores) x = rng.normal();
  const float tau = calibrated(m.group_scores, 2, 500, 8, 2.5, 2);
  REQUIRE(span.run<keep_all, adaptive_span>({}, {tau}, 2).ok());
  CHECK(count_head(m.out, 0).groups + count_head(m.out, 1).groups == 2500);
}

TEST_CASE("the calibrated mass is the smallest that keeps mean_k groups a token") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    random_source rng(seed);
    const index_t heads = rng.between(1, 3), n = rng.between(1, 1500);
    const int groups = static_cast<int>(rng.between(1, 16));
    select_span span;
    auto& layer = span.layers.emplace_back(n, heads, groups);
    fill_scores(rng, layer.group_scores);
    const double mean_k = rng.uniform() * groups;
    const index_t m = std::llround(mean_k * static_cast<double>(heads * n));
    cpu::thread_pool pool(1 + static_cast<int>(seed % 3));
    const auto b = pool.get_backend();
    const aligned_memory ws(cpu::calibrate_entropy_span_workspace_bytes(b));
    double mass = -99;
    REQUIRE(cpu::calibrate_entropy_span(b, layer.scores.groups, mean_k, mass, ws.workspace()).ok());
    const auto kept = [&](double at) {
      REQUIRE(span.run<keep_all, entropy_span>({}, {at}, 2).ok());
      index_t sum = 0;
      for (index_t h = 0; h < heads; ++h) sum += count_head(layer.out, h).groups;
      return sum;
    };
    const auto numbers = std::count_if(layer.group_scores.begin(), layer.group_scores.end(),
                                       [](float x) { return x == x; });
    CAPTURE(seed);
    CHECK(kept(mass) >= std::min<index_t>(m, numbers));
    if (mass > 0) CHECK(kept(mass - 0x1p-31) < m);
    if (m == 0) CHECK(mass == 0);
  }
}

TEST_CASE("selection by a calibrated mass keeps mean_k groups a token") {
  random_source rng(7);
  select_span span;
  auto& m = span.layers.emplace_back(500, 2, 8);
  for (float& x : m.group_scores) x = rng.normal();
  const cpu::backend b;
  const aligned_memory ws(cpu::calibrate_entropy_span_workspace_bytes(b));
  double mass = 0;
  REQUIRE(cpu::calibrate_entropy_span(b, m.scores.groups, 2.5, mass, ws.workspace()).ok());
  REQUIRE(span.run<keep_all, entropy_span>({}, {mass}, 2).ok());
  CHECK(count_head(m.out, 0).groups + count_head(m.out, 1).groups == 2500);
}

TEST_CASE("calibration refuses what it cannot use") {
  const cpu::backend b;
  const aligned_memory ws(cpu::calibrate_span_workspace_bytes(b));
  const std::vector<float> scores(8);
  const view<const float, 3> good(scores.data(), 1, 2, 4);
  float tau = -99;
  const auto refused = [&](const view<const float, 3>& v, double k, workspace w, errc code) {
    CHECK(cpu::calibrate_span(b, v, k, tau, w).code == code);
    CHECK(tau == -99);
    double mass = -99;
    CHECK(cpu::calibrate_entropy_span(b, v, k, mass, w).code == code);
    CHECK(mass == -99);
  };
  refused({}, 1, ws.workspace(), errc::bad_shape);
  refused(view<const float, 3>(nullptr, 1, 2, 4), 1, ws.workspace(), errc::null_view);
  refused(good, -0.1, ws.workspace(), errc::bad_parameter);
  refused(good, 4.1, ws.workspace(), errc::bad_parameter);
  refused(good, NAN, ws.workspace(), errc::bad_parameter);
  refused(good, 1, {ws.data(), ws.size() - 1}, errc::workspace_too_small);
  refused(good, 1, {ws.data() + 8, ws.size()}, errc::workspace_too_small);
  refused(view<const float, 3>(reinterpret_cast<float*>(ws.data()), 1, 2, 4), 1, ws.workspace(),
          errc::overlapping_memory);
  double mass = -99;
  const std::vector<float> wide(17);
  CHECK(cpu::calibrate_entropy_span(b, view<const float, 3>(wide.data(), 1, 1, 17), 1, mass,
                                    ws.workspace()) == errc::bad_shape);
  CHECK(mass == -99);
}

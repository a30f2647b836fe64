#include <string>

#include <doctest/doctest.h>

#include <rota/score/query_statistics.hpp>
#include <rota/score/reference.hpp>

#include "support/random.hpp"
#include "support/scoring.hpp"

using namespace rota;
using namespace rota_test;

namespace {

struct gathered {
  aligned_memory memory;
  std::vector<float> covariance;
  query_statistics statistics;
  query_moments moments;

  gathered(index_t heads, index_t d, index_t skip)
      : memory(query_statistics::memory_bytes(heads, d)),
        covariance(static_cast<std::size_t>(heads * d * d)) {
    REQUIRE(statistics.start(heads, d, memory.workspace(), skip).ok());
  }
  void finish(index_t heads, index_t d) {
    REQUIRE(statistics.finish(view<float, 3>(covariance.data(), heads, d, d), moments).ok());
  }
};

}  // namespace

TEST_CASE("streamed moments equal the two-pass reference, however the queries are cut") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    random_source rng(seed);
    const index_t heads = rng.between(1, 4), d = rng.between(1, 40), n = rng.between(0, 400);
    const index_t skip = rng.below(6);
    std::vector<float> memory(static_cast<std::size_t>(n * heads * d));
    for (float& x : memory)
      x = rng.normal() + 30;  // a mean far from 0 loses digits if done naively
    const view<const float, 3> all(memory.data(), n, heads, d);
    gathered g(heads, d, skip);
    for (index_t first = 0; first < n;) {
      const index_t count = std::min(n - first, rng.chance(0.5) ? 1 : rng.between(0, 150));
      REQUIRE(g.statistics
                  .update(view<const float, 3>(memory.data() + first * heads * d, count, heads, d))
                  .ok());
      first += count;
    }
    g.finish(heads, d);
    CAPTURE(seed);
    CHECK(g.statistics.count() == std::max<index_t>(0, n - skip));
    std::vector<double> mean, covariance;
    reference::query_moments_of(all, skip, mean, covariance);
    const std::vector<float> got(g.moments.mean.data, g.moments.mean.data + heads * d);
    CHECK(relative_difference(got, mean) < 1e-6);
    CHECK(relative_difference(g.covariance, covariance) < 2e-5);
  }
}

TEST_CASE("before the first query the moments are zero, and updates may follow a finish") {
  gathered g(2, 3, 1);
  g.finish(2, 3);
  for (float x : g.covariance) CHECK(x == 0);
  CHECK(g.moments.mean(1, 2) == 0);
  const std::vector<float> one = {9, 9, 9, 9, 9, 9, 1, 2, 3, 4, 5, 6};  // the first row is skipped
  REQUIRE(g.statistics.update(view<const float, 3>(one.data(), 2, 2, 3)).ok());
  g.finish(2, 3);
  CHECK(g.statistics.count() == 1);
  CHECK(g.moments.mean(1, 2) == 6);
  for (float x : g.covariance) CHECK(x == 0);
}

TEST_CASE("query statistics refuse by name") {
  query_statistics s;
  const aligned_memory memory(query_statistics::memory_bytes(2, 4));
  const std::vector<float> rows(100);
  const view<const float, 3> good(rows.data(), 3, 2, 4);
  std::vector<float> covariance(32);
  const view<float, 3> out(covariance.data(), 2, 4, 4);
  query_moments moments;
  const auto check = [](const status& st, errc code, const char* argument) {
    CHECK(st.code == code);
    CHECK(std::string(st.argument) == argument);
  };
  check(s.update(good), errc::null_view, "statistics");
  check(s.finish(out, moments), errc::null_view, "statistics");
  check(s.start(0, 4, memory.workspace()), errc::bad_shape, "q_heads");
  check(s.start(2, 0, memory.workspace()), errc::bad_shape, "d");
  check(s.start(2, 4, memory.workspace(), -1), errc::bad_count, "skip");
  check(s.start(2, 4, {memory.data(), memory.size() - 1}), errc::workspace_too_small, "ws");
  REQUIRE(s.start(2, 4, memory.workspace()).ok());
  check(s.update(view<const float, 3>(rows.data(), 3, 4, 2)), errc::bad_shape, "queries");
  check(s.update(view<const float, 3>(nullptr, 3, 2, 4)), errc::null_view, "queries");
  check(s.finish(view<float, 3>(covariance.data(), 2, 4, 3), moments), errc::bad_shape,
        "covariance");
  CHECK(moments.mean.data == nullptr);
  CHECK(s.update(good).ok());
  CHECK(s.finish(out, moments).ok());
}

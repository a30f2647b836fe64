// The query-independent results: which runs there are, and what is made of them.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "results/independent_chart.hpp"
#include "results/independent_goals.hpp"
#include "results/independent_report.hpp"

using namespace rota_lm::results;

namespace {

finished_adaptation made_up(const char* method, const char* lora, std::uint64_t seed,
                            std::vector<std::pair<double, double>> points) {
  const bool dense = std::string(method) == "dense_lora";
  const bool routed = std::string(method) == "adaptive_span";
  finished_adaptation f{{method, lora, dense ? "none" : "low_rank", "identity",
                         routed ? "per_head" : "none", "every", seed},
                        100,
                        1,
                        {}};
  for (const auto& [rho, perplexity] : points)
    f.points.push_back({rho, 0.5 + rho / 2, rho, perplexity, 0.001});
  return f;
}

}  // namespace

TEST_CASE("a run is measured at the shares that it is for") {
  const auto shares = [](const adaptation_spec& s) {
    std::vector<double> out;
    for (const double rho : independent_rhos)
      if (is_measured(s, rho)) out.push_back(rho);
    return out;
  };
  CHECK(shares({"dense_lora", plain_lora}) == std::vector<double>{1});
  CHECK(shares({"fixed_k", plain_lora}) == independent_rhos);
  CHECK(shares({"fixed_k", plain_lora, "zero", "pca", "per_head", "every", 1, true}) ==
        std::vector<double>{0.5, 0.25});
  CHECK(shares({"fixed_k", plain_lora, "low_rank", "identity", "per_head", "0.25"}) ==
        std::vector<double>{0.25});
}

TEST_CASE("the grid has every rule with every fill and basis, and no run twice") {
  const std::vector<adaptation_spec> grid = independent_grid();
  std::vector<std::string> keys;
  for (const adaptation_spec& s : grid) {
    CHECK(std::find(keys.begin(), keys.end(), s.key()) == keys.end());
    keys.push_back(s.key());
  }
  const auto has = [&](const adaptation_spec& s) {
    return std::find(keys.begin(), keys.end(), s.key()) != keys.end();
  };
  for (const char* basis : {"identity", "pca"})
    for (const char* fill : {"zero", "mean", "low_rank"}) {
      for (const char* method : {"static", "value_norm"}) {
        const adaptation_spec unlearned{method, plain_lora, fill, basis, "none"};
        REQUIRE(has(unlearned));
        const auto found = std::find(keys.begin(), keys.end(), unlearned.key());
        CHECK_FALSE(grid[static_cast<std::size_t>(found - keys.begin())].brief);
      }
      for (const char* method : {"fixed_k", "adaptive_span"})
        CHECK(has({method, plain_lora, fill, basis, "per_head"}));
    }
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    CHECK(has({"dense_lora", plain_lora, "none", "identity", "none", "every", seed}));
    CHECK(has({"adaptive_span", routed_lora, "low_rank", "identity", "per_head", "every", seed}));
  }
}

TEST_CASE("goals are judged on means over seeds") {
  const auto judged = [](double routed_at_quarter) {
    std::vector<finished_adaptation> runs = {
        made_up("dense_lora", plain_lora, 1, {{1, 3.9}}),
        made_up("dense_lora", plain_lora, 2, {{1, 4.1}}),
        made_up("dense_lora", routed_lora, 1, {{1, 4.0}}),
        made_up("adaptive_span", routed_lora, 1, {{1, 4.0}, {0.25, routed_at_quarter - 0.2}}),
        made_up("adaptive_span", routed_lora, 2, {{1, 4.0}, {0.25, routed_at_quarter + 0.2}}),
        made_up("value_norm", plain_lora, 1, {{1, 4.0}, {0.25, 4.15}})};
    const auto groups = group_runs(runs);
    CHECK(groups.size() == 4);
    CHECK(spread_of(groups[0].values(1))->mean == doctest::Approx(4.0));
    CHECK(spread_of(groups[0].values(1))->deviation == doctest::Approx(std::sqrt(0.02)));
    CHECK_FALSE(spread_of(groups[0].values(0.5)).has_value());
    CHECK(independent_rows(runs).size() == 9);
    CHECK(headline_table(groups).find("4.000 ± 0.141") != std::string::npos);
    CHECK(independent_chart(groups).find("dense_lora") != std::string::npos);
    return independent_goals(groups);
  };
  const auto good = judged(4.06), poor = judged(4.2);
  REQUIRE(good.size() == 3);
  CHECK(good[0].reached);
  CHECK(good[1].reached);
  CHECK(good[2].reached);
  CHECK(good[2].figures.find("our worst seed +2.65%") != std::string::npos);
  CHECK_FALSE(poor[0].reached);
  CHECK_FALSE(poor[2].reached);
  CHECK(goals_table(poor).find("**missed**") != std::string::npos);
}

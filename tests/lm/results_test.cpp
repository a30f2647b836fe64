// The query-aware results: their rows, and the report.
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "results/goal.hpp"
#include "results/grid.hpp"

using namespace rota_lm;
using namespace rota_lm::eval;

TEST_CASE("the grid has every method of the requirement, each once") {
  std::set<std::pair<std::string, double>> seen;
  for (const row_spec& r : results::grid_rows()) {
    CHECK(seen.emplace(r.how.name, r.kv_budget).second);
  }
  for (const double b : results::every_budget) {
    CHECK(seen.contains({"expected_attention:keep_ratio+oracle:global_top_m", b}));
  }
  for (const row_spec& r : results::goal_rows()) {
    const std::string kind = results::category(r);
    CHECK((kind == "token_only") == (r.packed() && !r.how.groups));
  }
}

TEST_CASE("the goal's cells compare on the same samples and name the best rival") {
  evaluation e;
  task& choice = e.tasks.emplace_back();
  choice.name = "choice";
  choice.how = scoring::choice;
  e.how.samples = 4;
  for (const row_spec& spec : results::goal_rows()) {
    row_result& r = e.rows.emplace_back();
    r.spec = spec;
    const bool good = spec.how.name == "dense" || spec.how.name == results::goal_method;
    const bool rival = spec.how.name == "tova:keep_ratio";
    r.outcomes["choice"] = {{1, 1}, {good ? 1.0 : 0.0, 1}, {0, 1}, {good || rival ? 1.0 : 0.0, 1}};
  }
  const results::goal_cell cell = results::judge(e, choice, 0.375);
  CHECK(cell.score == 0.75);
  CHECK(cell.dense == 0.75);
  CHECK(cell.best_rival == "tova:keep_ratio");
  CHECK(cell.best_rival_score == 0.5);
  CHECK(cell.wanted_share == 0.999);
  const auto document = results::goal_json(results::judge_all(e), 4);
  CHECK(document.size() == 2);
  // The best rival loses more than a point, and four samples cannot show that anything is better.
  CHECK(document[0]["reached"] == false);
  CHECK(document[0]["token_only"][1]["difference"] == 0.25);
  CHECK(results::goal_table(results::judge_all(e)).find("`tova:keep_ratio`") != std::string::npos);
  CHECK(document[0]["reached_share_of_dense"] == true);
  CHECK(document[0]["reached_against_token_only"] == false);
}

TEST_CASE("the goal's table says what was missed, of dense and of the best rival") {
  const auto cell = [](double dense, double score, double rival, double low, double high) {
    results::goal_cell c{"seen", "needle", 0.375, dense, score, 0.98, "snapkv", rival, {}};
    c.rivals = {{{"method", "tova"}, {"ci95", {0.5, 0.6}}},
                {{"method", "snapkv"}, {"ci95", {low, high}}}};
    return c;
  };
  CHECK(cell(0.9, 0.9, 0.9, -0.01, 0.01).verdict() == "reached");
  CHECK(cell(0.9, 0.89, 0.9, -0.02, -0.001).verdict() == "**missed**: token-only");
  CHECK(cell(0.9, 0.8, 0.7, 0.02, 0.1).verdict() == "**missed**: dense");
  CHECK(cell(0.9, 0.8, 0.85, -0.1, 0.01).verdict() == "**missed**: dense, token-only");
  CHECK(cell(0.9, 0.9, 0.7, 0.1, 0.3).verdict() == "reached");
  CHECK(cell(0.9, 0.9, 0.7, -0.1, 0.3).verdict() == "**missed**: token-only");  // not shown better
  CHECK_FALSE(cell(0.9, 0.9, 0.7, -0.1, 0.3).reached());
}

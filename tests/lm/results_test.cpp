// Long runs: the journal, and the report of the query-aware results.
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "evaluate/program.hpp"
#include "micro_folder.hpp"
#include "results/report.hpp"
#include "temp_folder.hpp"

namespace {

using namespace rota_lm;
using namespace rota_lm::eval;
using rota_lm_test::error_of;
using rota_lm_test::one_line_with;
using rota_lm_test::temp_folder;

using rota_lm_test::read_text;

journal_entry entry_of(double score) {
  journal_entry e;
  e.outcomes = {{score, 1}, {1, 1}};
  e.bytes = {1, 2, 0.5, 3, 4, 5, 6};
  return e;
}

}  // namespace

TEST_CASE("a journal gives back what was written, and a torn last line does not count") {
  const temp_folder folder;
  const std::string path = folder.path() + "/j.jsonl";
  {
    journal j(path, "run one");
    CHECK(j.find("a", "needle", 0, 2) == nullptr);
    j.add("a", "needle", 0, entry_of(0));
    j.add("a", "choice", 2, entry_of(1));
  }
  const std::string whole = read_text(path);
  std::ofstream(path, std::ios::app) << "{\"row\":\"b\",\"task\":\"nee";
  for (int round = 0; round < 2; ++round) {  // the second finds a mended file
    const journal j(path, "run one");
    const journal_entry* e = j.find("a", "needle", 0, 2);
    REQUIRE(e != nullptr);
    CHECK(e->outcomes[0].score == 0);
    CHECK(e->outcomes[1].score == 1);
    CHECK(e->bytes.worst_ratio == 0.5);
    CHECK(e->bytes.all_groups == 6);
    CHECK(j.find("a", "needle", 0, 3) == nullptr);  // other samples
    CHECK(j.find("b", "needle", 0, 2) == nullptr);
    CHECK(read_text(path) == whole);
  }
  CHECK(one_line_with(error_of([&] { journal(path, "run two"); }), "another run"));
  folder.write("bad.jsonl", "{\"run\":\"x\"}\n{\"row\":3}\n");
  CHECK(one_line_with(error_of([&] { journal(folder.path() + "/bad.jsonl", "x"); }), ":2"));
}

TEST_CASE("a run that was stopped gives the same numbers as one that was not") {
  const temp_folder folder;
  const std::string& path = rota_lm_test::long_micro();
  const char* words[] = {"evaluate",
                         "--model",
                         path.c_str(),
                         "--context",
                         "256",
                         "--samples",
                         "10",
                         "--timing",
                         "off",
                         "--tasks",
                         "choice",
                         "--budgets",
                         "0.75,0.05",
                         "--threads",
                         "1",
                         "--methods",
                         "token_only,dense"};
  options o = parse_options(static_cast<int>(std::size(words)), words);
  const model lm = model::load(path);
  const tokenizer text = tokenizer::load(path);
  const auto run = [&](std::size_t samples, journal* past) {
    o.samples = samples;
    evaluation e;
    e.how = o;
    e.tasks = make_tasks(o, lm.config(), text);
    for (const row_spec& spec : list_rows(o.methods, o.budgets, o.every_token_budgets)) {
      e.rows.emplace_back().spec = spec;
    }
    counting_memory memory;
    progress shown("test", runner::work(e));
    runner(o, lm, text, {}, memory, shown, past).run(e);
    return results_json(e).dump();
  };
  const std::string straight = run(10, nullptr), journaled = folder.path() + "/j";
  {
    journal past(journaled, "r");
    run(4, &past);  // one whole batch, then it was stopped
  }
  journal past(journaled, "r");
  CHECK(run(10, &past) == straight);
  const std::string all = read_text(journaled);
  journal again(journaled, "r");
  CHECK(run(10, &again) == straight);
  CHECK(read_text(journaled) == all);  // nothing was left to run
}

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

// Long runs: the journal.
#include "evaluate/journal.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/progress.hpp"
#include "evaluate/counting_memory.hpp"
#include "evaluate/json_report.hpp"
#include "evaluate/program.hpp"
#include "evaluate/runner.hpp"
#include "evaluate/task_list.hpp"
#include "micro_folder.hpp"
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

// Long runs: stopped, they go on from their journal.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "engine/progress.hpp"
#include "evaluate/counting_memory.hpp"
#include "evaluate/journal.hpp"
#include "evaluate/json_report.hpp"
#include "evaluate/program.hpp"
#include "evaluate/runner.hpp"
#include "evaluate/task_list.hpp"
#include "micro_folder.hpp"
#include "temp_folder.hpp"

using namespace rota_lm;
using namespace rota_lm::eval;
using rota_lm_test::temp_folder;

using rota_lm_test::read_text;

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

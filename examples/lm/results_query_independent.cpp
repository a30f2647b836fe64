// results_query_independent --model DIR --journal DIR --out DIR [...]; --help prints the arguments.
// Adapts the model in every way of the grid, measures each through the packed store and writes
// query_independent.json, query_independent.md and a picture to --out. Finished adaptations and the
// state of an unfinished one are kept in --journal: stopped and begun again, it goes on.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string_view>

#include <nlohmann/json.hpp>

#include "engine/arguments.hpp"
#include "engine/keep_pages.hpp"
#include "engine/run_program.hpp"
#include "engine/text_file.hpp"
#include "evaluate/decode_timing.hpp"
#include "results/adaptation_run.hpp"
#include "results/date.hpp"
#include "results/independent_chart.hpp"
#include "results/independent_goals.hpp"
#include "results/independent_report.hpp"

namespace {

using namespace rota_lm;
using namespace rota_lm::results;

constexpr std::string_view usage =
    "results_query_independent --model DIR --journal DIR --out DIR [--steps 600] [--samples 100]\n"
    "  [--runs N: no more than the first so many of the grid] [--threads 2]\n";

struct request {
  adaptation_setting setting;
  std::string out;
  std::size_t runs;
};

request parse(int argc, char** argv) {
  const arguments given(argc, argv,
                        {"model", "journal", "out", "steps", "samples", "runs", "threads"});
  request r;
  r.setting.model = given.text("model");
  r.setting.journal = given.text("journal");
  r.out = given.text("out");
  r.setting.steps = given.count("steps", r.setting.steps, 1, 1'000'000);
  r.setting.samples = given.count("samples", r.setting.samples, 1, 1'000'000);
  r.setting.threads = static_cast<int>(given.count("threads", 2, 1, 256));
  r.runs = given.count("runs", independent_grid().size(), 1, independent_grid().size());
  return r;
}

std::string page_of(const request& r, const std::vector<finished_adaptation>& runs,
                    const std::vector<adaptation_group>& groups) {
  std::vector<double> seconds;
  for (const finished_adaptation& f : runs) seconds.push_back(f.seconds);
  char figures[400];
  std::snprintf(figures, sizeof figures,
                "%zu of %zu adaptations; %zu steps each, trained in %.0f seconds (median); "
                "%zu held-out texts of 1,024 tokens, of which the last 256 are scored, through the "
                "packed store. On %zu of them the same is computed with masks: no row's loss "
                "differs by more than %.2g nats a token.\n\n",
                runs.size(), independent_grid().size(), r.setting.steps, eval::median(seconds),
                r.setting.samples, r.setting.masked_samples, worst_distance(runs));
  return "# Query-independent results\n\nWritten by `make results-query-independent`, " +
         results::today() +
         ". What the columns mean and what to think of them: [README](README.md).\n\n" + figures +
         "## The goals\n\n" + goals_table(independent_goals(groups)) +
         "\n## Perplexity by kept share of value groups\n\n"
         "![Perplexity against kept groups and bytes](query_independent.svg)\n\nMean and standard "
         "deviation over seeds; groups are stood in for by the low-rank fill.\n\n" +
         headline_table(groups) + "\n## Plain and routed LoRA, nothing dropped\n\n" +
         lora_table(groups) + "\n## Rules, fills, bases and routers, with plain LoRA\n\n" +
         grid_table(groups) + "\n## One run for every rho\n\n" + one_rho_table(groups);
}

void write(const request& r, const std::vector<finished_adaptation>& runs) {
  const std::vector<adaptation_group> groups = group_runs(runs);
  nlohmann::ordered_json document = {{"command", "make results-query-independent"},
                                     {"date", results::today()},
                                     {"steps", r.setting.steps},
                                     {"samples", r.setting.samples}};
  for (const independent_goal& g : independent_goals(groups))
    document["goals"].push_back(
        {{"goal", g.name}, {"measured", g.figures}, {"reached", g.reached}});
  document["rows"] = independent_rows(runs);
  write_file(r.out + "/query_independent.json", document.dump(1) + "\n");
  write_file(r.out + "/query_independent.md", page_of(r, runs, groups));
  write_file(r.out + "/query_independent.svg", independent_chart(groups));
}

void run(const request& r) {
  std::filesystem::create_directories(r.setting.journal);
  std::filesystem::create_directories(r.out);
  std::vector<finished_adaptation> runs;
  const std::vector<adaptation_spec> grid = independent_grid();
  for (std::size_t i = 0; i < r.runs; ++i) {
    std::cout << i + 1 << " of " << r.runs << ": " << grid[i].key() << std::endl;
    const std::string folder = r.setting.journal + "/" + grid[i].key();
    std::filesystem::create_directories(folder);
    std::ofstream log(folder + "/log");
    runs.push_back(run_adaptation(grid[i], r.setting, log));
    write(r, runs);
  }
  const auto groups = group_runs(runs);
  std::cout << headline_table(groups) << '\n' << goals_table(independent_goals(groups));
}

}  // namespace

int main(int argc, char** argv) {
  keep_pages();
  return run_program("results_query_independent", usage, argc, argv,
                     [&] { run(parse(argc, argv)); });
}

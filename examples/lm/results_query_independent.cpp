// results_query_independent --model DIR --journal DIR --out DIR [...]; --help lists the options.
// Adapts the model in every way of the grid, measures each through the packed store and writes
// query_independent.json, query_independent.md and a picture to --out. Finished adaptations and the
// state of an unfinished one are kept in --journal: stopped and begun again, it goes on.
#include <array>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/command_line.hpp"
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

constexpr std::array<const char*, 3> result_files = {
    "query_independent.json", "query_independent.md", "query_independent.svg"};

struct request {
  adaptation_setting setting;
  std::string out;
  std::uint64_t runs = 0;
};

request parse(int argc, char** argv) {
  request r;
  r.runs = independent_grid().size();
  command_line line("results_query_independent",
                    "Adapts the model in every way of the grid, measures each through the packed "
                    "store and writes the query-independent results.");
  line.group("Files");
  line.text("model", r.setting.model, "Folder of a checkpoint in the Hugging Face format");
  line.text("journal", r.setting.journal, "Folder for what has been run: it is not run again");
  line.text("out", r.out, "Folder for query_independent.json, .md and .svg");
  for (const char* name : {"model", "journal", "out"}) line.require(name);
  line.group("Size");
  line.count("steps", r.setting.steps, 1, 1'000'000, "Of each adaptation");
  line.count("samples", r.setting.samples, 1, 1'000'000, "Held-out texts of each measurement");
  line.count("runs", r.runs, 1, independent_grid().size(), "No more than the first of the grid");
  line.count("threads", r.setting.threads, 1, 256, "Samples at a time");
  line.parse(argc, argv);
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
  write_file(r.out + "/" + result_files[0], document.dump(1) + "\n");
  write_file(r.out + "/" + result_files[1], page_of(r, runs, groups));
  write_file(r.out + "/" + result_files[2], independent_chart(groups));
}

void run(const request& r) {
  std::filesystem::create_directories(r.setting.journal);
  std::filesystem::create_directories(r.out);
  for (const char* name : result_files) check_writable(r.out + "/" + name);
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
  return run_program("results_query_independent", [&] { run(parse(argc, argv)); });
}

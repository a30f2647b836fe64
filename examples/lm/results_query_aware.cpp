// results_query_aware --model DIR --journal DIR --out DIR [...]; --help lists the options. Makes
// the query-aware results: query_aware.json, query_aware.md and pictures in --out. What has been
// run is kept in --journal: stopped and begun again, it goes on.
#include <chrono>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/command_line.hpp"
#include "engine/json.hpp"
#include "engine/model_tag.hpp"
#include "engine/progress.hpp"
#include "engine/run_program.hpp"
#include "engine/text_file.hpp"
#include "evaluate/counting_memory.hpp"
#include "evaluate/journal.hpp"
#include "evaluate/json_report.hpp"
#include "evaluate/program.hpp"
#include "evaluate/quality_chart.hpp"
#include "evaluate/runner.hpp"
#include "evaluate/task_list.hpp"
#include "results/date.hpp"
#include "results/goal.hpp"
#include "results/grid.hpp"
#include "results/report.hpp"

namespace {

using namespace rota_lm;
using results::finished_run;

struct plan {
  std::string name;
  eval::protocol when;
  std::vector<synth::task> tasks;
  std::vector<eval::row_spec> rows;
  std::size_t samples;
  std::uint64_t seed;  ///< not 1: on that the policies were chosen
};

struct setting {
  std::string model, predictor, predictor_unseen, journal, out;
  std::size_t samples = 500, goal_samples = 5000;
  int threads = 2;
};

setting parse(int argc, char** argv) {
  setting s;
  command_line line("results_query_aware",
                    "Runs the grid of query-aware methods and writes the query-aware results.");
  line.group("Files");
  line.text("model", s.model, "Folder of a checkpoint in the Hugging Face format");
  line.text("predictor", s.predictor, "File of fit_predictor, for questions that are seen");
  line.text("predictor-unseen", s.predictor_unseen, "The same for those that are not");
  line.text("journal", s.journal, "Folder for what has been run: it is not run again");
  line.text("out", s.out, "Folder for query_aware.json, query_aware.md and pictures");
  for (const char* name : {"model", "predictor", "predictor-unseen", "journal", "out"})
    line.require(name);
  line.group("Size");
  line.count("samples", s.samples, 1, 1'000'000, "Of each cell of the grid");
  line.count("goal-samples", s.goal_samples, 1, 1'000'000, "Of each goal cell");
  line.count("threads", s.threads, 1, 256, "Samples at a time");
  line.parse(argc, argv);
  return s;
}

std::vector<plan> plans(const setting& s) {
  using synth::task;
  const std::vector<task> recall = {task::needle, task::vartrack, task::choice};
  const std::vector<task> all = {task::needle, task::vartrack, task::choice, task::text};
  return {{"goal", eval::protocol::seen, recall, results::goal_rows(), s.goal_samples, 3},
          {"goal", eval::protocol::unseen, recall, results::goal_rows(), s.goal_samples, 3},
          {"grid", eval::protocol::seen, recall, results::grid_rows(), s.samples, 2},
          {"grid", eval::protocol::unseen, all, results::grid_rows(), s.samples, 2}};
}

eval::options options_of(const plan& p, const setting& s) {
  eval::options o;
  o.model = s.model;
  o.predictor = p.when == eval::protocol::seen ? s.predictor : s.predictor_unseen;
  o.tasks = p.tasks;
  o.when = p.when;
  o.samples = p.samples;
  o.seed = p.seed;
  o.threads = s.threads;
  for (const eval::row_spec& row : p.rows) o.methods.push_back(row.how);
  return o;
}

/// Everything that an outcome depends on beside its row and, where the row has one, the predictor.
std::string describe(const eval::options& o, const fitted_predictor& predictor) {
  return "model " + predictor.model + " context " + std::to_string(o.context) + " sinks " +
         std::to_string(o.sinks) + " window " + std::to_string(o.window) + " rho " +
         std::to_string(o.rho) + " seed " + std::to_string(o.seed) + " protocol " +
         eval::name_of(eval::protocol_names, o.when) + " fill " +
         eval::name_of(eval::fill_names, o.stand_in) + " batch " + std::to_string(4 * o.threads);
}

finished_run run(const plan& p, const setting& s, const model& lm, const tokenizer& text) {
  finished_run out{p.name, {}};
  eval::evaluation& e = out.result;
  e.how = options_of(p, s);
  eval::check_before(e.how, lm.config(), {});
  e.tasks = eval::make_tasks(e.how, lm.config(), text);
  const eval::run_extras extras = eval::find_extras(e.how, lm);
  for (const eval::row_spec& spec : p.rows) e.rows.emplace_back().spec = spec;
  eval::journal past(
      s.journal + "/" + p.name + "_" + eval::name_of(eval::protocol_names, p.when) + ".jsonl",
      describe(e.how, *extras.predictor));
  eval::counting_memory memory;
  progress shown("results_query_aware, " + p.name, eval::runner::work(e));
  eval::runner(e.how, lm, text, extras.shared(), memory, shown, &past).run(e);
  return out;
}

/// The rows that a picture has room for.
eval::evaluation shown_rows(const eval::evaluation& e) {
  static const std::vector<std::string> names = {"no_context",
                                                 "dense",
                                                 "expected_attention:keep_ratio",
                                                 "expected_attention:keep_ratio+value_norm:fixed_k",
                                                 "snapkv:keep_ratio",
                                                 "key_diff:keep_ratio",
                                                 "predictor:keep_ratio",
                                                 results::goal_method};
  eval::evaluation out = e;
  out.rows.clear();
  for (const eval::row_result& r : e.rows) {
    if (std::find(names.begin(), names.end(), r.spec.how.name) != names.end()) {
      out.rows.push_back(r);
    }
  }
  return out;
}

std::vector<results::goal_cell> judged(const std::vector<finished_run>& runs) {
  std::vector<results::goal_cell> out;
  for (const finished_run& r : runs) {
    if (r.name != "goal") continue;
    for (results::goal_cell& c : results::judge_all(r.result)) out.push_back(std::move(c));
  }
  return out;
}

void write(const setting& s, const std::vector<finished_run>& runs) {
  nlohmann::ordered_json document;
  document["command"] = "make results-query-aware";
  document["date"] = results::today();
  document["threads"] = s.threads;
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const finished_run& r : runs) results::add_rows(rows, r);
  const auto cells = judged(runs);
  document["goal"] = results::goal_json(cells, s.goal_samples);
  document["rows"] = std::move(rows);
  write_file(s.out + "/query_aware.json", document.dump(1) + "\n");

  std::string page =
      "# Query-aware results\n\nWritten by `make results-query-aware`, " + results::today() +
      ". What the columns mean and what to think of them: [README](README.md).\n\n"
      "## The goal cells\n\n`" +
      results::goal_method + "`, " + std::to_string(s.goal_samples) +
      " samples, the same for every row; accuracies in percent. Seen or unseen: whether the "
      "question is there while the cache is compressed; each has a predictor of its own.\n\n" +
      results::goal_table(cells) + "\n";
  for (const finished_run& r : runs) {
    if (r.name == "goal") continue;
    const std::string when = eval::name_of(eval::protocol_names, r.result.how.when);
    const std::string picture = "query_aware_" + when + ".svg";
    page.append("## Question ").append(when).append(" while compressing\n\n");
    page.append(std::to_string(r.result.how.samples));
    page.append(" samples a cell; columns are budgets in percent of the dense bytes.\n\n");
    page.append("![Quality against bytes, question ").append(when);
    page.append("](").append(picture).append(")\n\n");
    for (const eval::task& t : r.result.tasks) page += results::task_table(r.result, t);
    write_file(s.out + "/" + picture, eval::quality_svg(shown_rows(r.result)));
  }
  write_file(s.out + "/query_aware.md", page);
}

void run(const setting& s) {
  std::filesystem::create_directories(s.journal);
  std::filesystem::create_directories(s.out);
  for (const char* name :
       {"query_aware.json", "query_aware.md", "query_aware_seen.svg", "query_aware_unseen.svg"})
    check_writable(s.out + "/" + name);
  const model lm = model::load(s.model);
  const tokenizer text = tokenizer::load(s.model);
  std::vector<finished_run> runs;
  for (const plan& p : plans(s)) runs.push_back(run(p, s, lm, text));
  write(s, runs);
  std::cout << results::goal_table(judged(runs)) << s.out << "/query_aware.json, query_aware.md\n";
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("results_query_aware", [&] { run(parse(argc, argv)); });
}

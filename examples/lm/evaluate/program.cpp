#include "evaluate/program.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <ostream>
#include <system_error>
#include <utility>

#include <rota/cpu/thread_pool.hpp>

#include "engine/adapted_model.hpp"
#include "engine/model_tag.hpp"
#include "engine/text_file.hpp"
#include "evaluate/attend_timing.hpp"
#include "evaluate/counting_memory.hpp"
#include "evaluate/decode_timing.hpp"
#include "evaluate/json_report.hpp"
#include "evaluate/prefill.hpp"
#include "evaluate/quality_chart.hpp"
#include "evaluate/retention_chart.hpp"
#include "evaluate/runner.hpp"
#include "evaluate/table.hpp"
#include "evaluate/task_list.hpp"

namespace rota_lm::eval {

void check_before(const options& o, const model_config& c,
                  std::initializer_list<const char*> results) {
  if (c.max_positions != 0 && o.cuts_contexts() && o.context > c.max_positions) {
    fail("--context", std::to_string(o.context) + " is more than the model's " +
                          std::to_string(c.max_positions) + " positions");
  }
  check_group_width(c.head_dim, group_width_of(o, c.head_dim));
  if (!o.json.empty()) check_writable(o.json);
  if (o.out.empty()) return;
  std::error_code problem;
  std::filesystem::create_directories(o.out, problem);
  if (problem) fail("--out", printable(o.out) + ": " + problem.message());
  for (const char* const file : results) check_writable(o.out + "/" + file);
}

std::size_t packed_rows(const std::vector<row_result>& rows) {
  return static_cast<std::size_t>(
      std::count_if(rows.begin(), rows.end(), [](const row_result& r) { return r.spec.packed(); }));
}

std::optional<fitted_predictor> find_predictor(const options& o, const model& lm) {
  if (o.predictor.empty()) return {};
  fitted_predictor p = load_predictor(o.predictor, lm.config(), model_identity(lm));
  const int width = group_width_of(o, lm.config().head_dim);
  const bool ranks_groups = std::any_of(o.methods.begin(), o.methods.end(), [](const method& m) {
    return m.groups && m.groups->scorer == group_scorer::predictor;
  });
  if (ranks_groups && p.group_width != static_cast<std::size_t>(width)) {
    fail(o.predictor, "was fitted for groups of " + std::to_string(p.group_width) + ", not of " +
                          std::to_string(width));
  }
  return p;
}

shared_extras run_extras::shared() const {
  return {predictor ? &*predictor : nullptr, outputs ? &*outputs : nullptr, routing};
}

run_extras find_extras(const options& o, const model& lm) {
  run_extras out;
  out.predictor = find_predictor(o, lm);
  const auto asks = [](const method& m) { return m.uses_outputs(); };
  if (std::any_of(o.methods.begin(), o.methods.end(), asks) || o.fallback.uses_outputs()) {
    out.outputs.emplace(lm, group_width_of(o, lm.config().head_dim));
  }
  return out;
}

evaluation evaluate(const options& o, const model& lm, const tokenizer& text,
                    std::vector<task> tasks, const value_routing* routing) {
  const auto start = std::chrono::steady_clock::now();
  evaluation e;
  e.how = o;
  for (row_spec& spec : list_rows(o.methods, o.budgets, o.every_token_budgets, o.rhos)) {
    row_result row;
    row.spec = std::move(spec);
    e.rows.push_back(std::move(row));
  }
  e.tasks = std::move(tasks);
  counting_memory memory;
  // In units of the runner's: what timing took on one machine.
  const double decode_work = o.timing ? 2 : 0, attend_work = o.timing ? 6 : 0;
  progress shown("evaluate", runner::work(e) + decode_work +
                                 attend_work * static_cast<double>(packed_rows(e.rows)));
  run_extras extras = find_extras(o, lm);
  const auto asks = [](const method& m) { return m.adapted; };
  if (std::any_of(o.methods.begin(), o.methods.end(), asks)) extras.routing = routing;
  runner(o, lm, text, extras.shared(), memory, shown).run(e);
  if (o.timing) {
    time_decoding(lm, e.tasks[0], o, extras.shared(), memory, e.rows);
    shown.add(decode_work, "timing of decode");
    rota::cpu::thread_pool pool(o.threads);
    time_attention(o, attend_shape{}, pool.get_backend(), e.rows,
                   [&](const row_result&) { shown.add(attend_work, "timing of attention"); });
  }
  e.dense_bytes_while_packed_decodes = memory.dense_bytes_while_packed_decodes();
  e.memory_checks = memory.checks();
  e.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return e;
}

evaluation evaluate(const options& o, const model& lm, const tokenizer& text,
                    const value_routing* routing) {
  return evaluate(o, lm, text, make_tasks(o, lm.config(), text), routing);
}

void report(const options& o, const evaluation& e, std::ostream& out) {
  out << results_table(e) << '\n' << difference_table(e);
  const std::string json = results_json(e).dump(1) + "\n";
  if (!o.json.empty()) write_file(o.json, json);
  if (o.out.empty()) return;
  write_file(o.out + "/results.json", json);
  write_file(o.out + "/quality.svg", quality_svg(e));
  write_file(o.out + "/retention.svg", retention_svg(e));
  out << "\nwritten in " << progress::clock_time(e.seconds) << ": " << o.out
      << "/results.json, quality.svg, retention.svg\n";
}

void run(const options& asked, std::ostream& out) {
  const adapted_model lm = asked.adapter.empty() ? adapted_model{model::load(asked.model), {}}
                                                 : load_adapted(asked.model, asked.adapter);
  const options o = for_model(asked, lm.lm.config().max_positions);
  const tokenizer text = tokenizer::load(o.model);
  check_before(o, lm.lm.config(), {"results.json", "quality.svg", "retention.svg"});
  report(o, evaluate(o, lm.lm, text, &lm.routing), out);
  out.flush();
  if (!out) fail("the table", "cannot be written");
}

}  // namespace rota_lm::eval

// The program, but for the command line and the exit code.
#pragma once

#include <chrono>
#include <filesystem>
#include <ostream>
#include <string>
#include <system_error>

#include "engine/model.hpp"
#include "engine/tokenizer/tokenizer.hpp"
#include "evaluate/json_report.hpp"
#include "evaluate/runner.hpp"
#include "evaluate/table.hpp"

namespace rota_lm::eval {

/// Refuses what would only be found out after minutes.
inline void check_before(const options& o, const model_config& c) {
  if (c.max_positions != 0 && o.context > c.max_positions) {
    fail("--context", std::to_string(o.context) + " is more than the model's " +
                          std::to_string(c.max_positions) + " positions");
  }
  const auto width = static_cast<std::size_t>(group_width_of(o, c.head_dim));
  if (c.head_dim % width != 0 || c.head_dim / width > rota::max_groups) {
    fail("--group-width", std::to_string(width) + " does not cut heads of " +
                              std::to_string(c.head_dim) + " into at most 16 groups");
  }
  if (o.out.empty()) return;
  std::error_code problem;
  std::filesystem::create_directories(o.out, problem);
  if (problem) fail("--out", printable(o.out) + ": " + problem.message());
}

inline evaluation evaluate(const options& o, const model& lm, const tokenizer& text) {
  const auto start = std::chrono::steady_clock::now();
  evaluation e;
  e.how = o;
  for (row_spec& spec : list_rows(o.methods, o.budgets, o.every_token_budgets)) {
    row_result row;
    row.spec = std::move(spec);
    e.rows.push_back(std::move(row));
  }
  counting_memory memory;
  progress shown(runner::work(o));
  runner(o, lm, text, memory, shown).run(e);
  e.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return e;
}

inline void run(const options& o, std::ostream& out) {
  const model lm = model::load(o.model);
  const tokenizer text = tokenizer::load(o.model);
  check_before(o, lm.config());
  const evaluation e = evaluate(o, lm, text);
  out << results_table(e) << '\n' << difference_table(e);
  const std::string json = results_json(e).dump(1) + "\n";
  if (!o.json.empty()) write_file(o.json, json);
  if (!o.out.empty()) write_file(o.out + "/results.json", json);
}

}  // namespace rota_lm::eval

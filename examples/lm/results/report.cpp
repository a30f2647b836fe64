#include "results/report.hpp"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "evaluate/json_report.hpp"
#include "evaluate/table.hpp"
#include "results/grid.hpp"
#include "results/numbers.hpp"

namespace rota_lm::results {

void add_rows(ordered_json& rows, const finished_run& run) {
  const evaluation& e = run.result;
  for (const eval::task& t : e.tasks) {
    for (const row_result& r : e.rows) {
      const eval::estimate score = eval::score_of(r, t, e.how.seed);
      const eval::estimate lost = eval::difference_to_dense(e, r, t);
      ordered_json row;
      row["task"] = t.name;
      row["protocol"] = eval::name_of(eval::protocol_names, e.how.when);
      row["method"] = category(r.spec);
      row["token_scorer"] = r.spec.how.tokens ? eval::describe(r.spec.how.tokens) : "-";
      row["group_scorer"] = r.spec.how.groups ? eval::describe(r.spec.how.groups) : "-";
      row["kv_budget"] = r.spec.kv_budget;
      row["kv_bytes_ratio"] = eval::detail::number(eval::bytes_ratio(r));
      row["read_bytes_ratio"] = eval::detail::number(eval::read_bytes_ratio(r));
      row["score"] = eval::detail::number(score.value);
      row["ci95"] = eval::detail::range_of(score);
      row["n"] = t.samples;
      row["rho"] = eval::detail::number(eval::groups_kept(r));
      row["difference_to_dense"] = eval::detail::number(lost.value);
      row["difference_ci95"] = eval::detail::range_of(lost);
      row["run"] = run.name;
      row["seed"] = e.how.seed;
      if (!r.failure.empty()) row["failure"] = r.failure;
      rows.push_back(std::move(row));
    }
  }
}

std::string task_table(const evaluation& e, const eval::task& t) {
  const bool is_text = t.is_perplexity();
  std::vector<std::string> names;
  std::vector<double> budgets;
  std::map<std::pair<std::string, double>, std::string> cells;
  std::string references;
  for (const row_result& r : e.rows) {
    const eval::estimate x = eval::score_of(r, t, e.how.seed);
    const std::string cell = is_text ? eval::fixed(x.value, 3) : percent(x.value);
    if (!r.spec.packed() && !r.spec.reading()) {
      references += (references.empty() ? "" : ", ") + r.spec.how.name + " " + cell;
      continue;
    }
    if (std::find(names.begin(), names.end(), r.spec.how.name) == names.end()) {
      names.push_back(r.spec.how.name);
    }
    if (std::find(budgets.begin(), budgets.end(), r.spec.kv_budget) == budgets.end()) {
      budgets.push_back(r.spec.kv_budget);
    }
    cells[{r.spec.how.name, r.spec.kv_budget}] = r.failure.empty() ? cell : "too small";
  }
  std::sort(budgets.rbegin(), budgets.rend());
  std::string out = "**" + t.name + "** (" + references + ")\n\n|";
  for (const double b : budgets) out += " | " + percent(b, 2);
  out += " |\n|---" + std::string() + "|";
  for (std::size_t i = 0; i < budgets.size(); ++i) out += "---|";
  out += "\n";
  for (const std::string& name : names) {
    out += "| `" + name + "`";
    for (const double b : budgets) {
      const auto found = cells.find({name, b});
      out += " | " + (found == cells.end() ? std::string() : found->second);
    }
    out += " |\n";
  }
  return out + "\n";
}

}  // namespace rota_lm::results

// The query-aware results as JSON and as a page.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "evaluate/json_report.hpp"
#include "evaluate/table.hpp"
#include "results/grid.hpp"

namespace rota_lm::results {

using eval::evaluation;
using eval::ordered_json;
using eval::row_result;

/// One run: a protocol, its rows and samples.
struct finished_run {
  std::string name;  ///< "grid" or "goal"
  evaluation result;
};

/// One JSON row a task.
inline void add_rows(ordered_json& rows, const finished_run& run) {
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

inline std::string percent(double x, int places = 1) {
  return std::isfinite(x) ? eval::fixed(100 * x, places) : "-";
}

/// A table of one task: a line a method, a column a budget.
inline std::string task_table(const evaluation& e, const eval::task& t) {
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

/// A goal cell: the method against dense and against each token-only rival, on the same samples.
struct goal_cell {
  std::string protocol;
  std::string task;
  double budget;
  double dense, score, wanted_share;
  std::string best_rival;
  double best_rival_score;
  ordered_json rivals;

  bool of_dense() const { return score >= wanted_share * dense; }
  /// Against the best rival: not worse (the interval of the difference reaches 0), and better where
  /// the rival loses a point or more of dense.
  bool of_rival() const {
    const ordered_json& interval = best().at("ci95");
    const bool loses = dense - best_rival_score >= 0.01;
    return loses ? interval[0].get<double>() > 0 : interval[1].get<double>() >= 0;
  }
  const ordered_json& best() const {
    return *std::find_if(rivals.begin(), rivals.end(),
                         [&](const ordered_json& r) { return r["method"] == best_rival; });
  }
  bool reached() const { return of_dense() && of_rival(); }
  std::string verdict() const {
    if (reached()) return "reached";
    return std::string("**missed**: ") + (of_dense() ? "" : "dense") +
           (!of_dense() && !of_rival() ? ", " : "") + (of_rival() ? "" : "token-only");
  }
};

/// What lies behind the third digit of a p-value is noise, and differs between compilers.
inline double three_digits(double p) {
  char text[20];
  std::snprintf(text, sizeof text, "%.3g", p);
  return std::strtod(text, nullptr);
}

/// The share of dense accuracy that the goal asks for; 0: none.
inline double wanted_share(const std::string& task, double budget) {
  if (budget == 0.375) return task == "choice" ? 0.999 : 0.98;
  return task == "choice" ? 0.99 : 0;
}

inline const row_result& find_row(const evaluation& e, const std::string& name, double budget) {
  for (const row_result& r : e.rows) {
    if (r.spec.how.name == name && (!r.spec.packed() || r.spec.kv_budget == budget)) return r;
  }
  fail("results", "no row " + name);
}

inline goal_cell judge(const evaluation& e, const eval::task& t, double budget) {
  const auto score = [&](const row_result& r) { return eval::score_of(r, t, 1).value; };
  const row_result& mine = find_row(e, goal_method, budget);
  goal_cell cell{eval::name_of(eval::protocol_names, e.how.when),
                 t.name,
                 budget,
                 score(find_row(e, "dense", budget)),
                 score(mine),
                 wanted_share(t.name, budget),
                 "",
                 -1,
                 ordered_json::array()};
  for (const std::string& name : goal_rivals) {
    const row_result& rival = find_row(e, name, budget);
    const eval::paired_hits hits(mine.outcomes.at(t.name), rival.outcomes.at(t.name));
    const eval::estimate difference = eval::paired_difference(hits);
    cell.rivals.push_back({{"method", name},
                           {"score", eval::detail::number(score(rival))},
                           {"difference", eval::detail::number(difference.value)},
                           {"ci95", eval::detail::range_of(difference)},
                           {"mcnemar_p", three_digits(eval::mcnemar_exact(hits))}});
    if (score(rival) > cell.best_rival_score) {
      cell.best_rival = name;
      cell.best_rival_score = score(rival);
    }
  }
  return cell;
}

inline std::vector<goal_cell> judge_all(const evaluation& e) {
  std::vector<goal_cell> out;
  for (const double budget : goal_budgets) {
    for (const eval::task& t : e.tasks) out.push_back(judge(e, t, budget));
  }
  return out;
}

inline ordered_json goal_json(const std::vector<goal_cell>& cells, std::size_t samples) {
  ordered_json out = ordered_json::array();
  for (const goal_cell& c : cells) {
    out.push_back(
        {{"protocol", c.protocol},
         {"task", c.task},
         {"kv_budget", c.budget},
         {"method", goal_method},
         {"n", samples},
         {"dense", eval::detail::number(c.dense)},
         {"score", eval::detail::number(c.score)},
         {"share_of_dense", eval::detail::number(c.score / c.dense)},
         {"wanted_share", c.wanted_share > 0 ? ordered_json(c.wanted_share) : nullptr},
         {"reached", c.reached()},
         {"reached_share_of_dense", c.wanted_share > 0 ? ordered_json(c.of_dense()) : nullptr},
         {"reached_against_token_only", c.of_rival()},
         {"token_only", c.rivals}});
  }
  return out;
}

inline std::string goal_table(const std::vector<goal_cell>& cells) {
  std::string out =
      "| question | KV bytes | task | dense | method | share of dense | wanted | best token-only | "
      "its score "
      "| "
      "difference, 95% interval | McNemar p | goal |\n"
      "|---|---|---|---|---|---|---|---|---|---|---|---|\n";
  for (const goal_cell& c : cells) {
    const ordered_json& best = c.best();
    char p[20];
    std::snprintf(p, sizeof p, "%.2g", best["mcnemar_p"].get<double>());
    out += "| " + c.protocol + " | " + percent(c.budget) + "% | " + c.task + " | " +
           percent(c.dense, 2) + " | " + percent(c.score, 2) + " | " +
           percent(c.score / c.dense, 2) + "% | " +
           (c.wanted_share > 0 ? percent(c.wanted_share) + "%" : "-") + " | `" + c.best_rival +
           "` | " + percent(c.best_rival_score, 2) + " | " +
           percent(best["difference"].get<double>(), 2) + " [" +
           percent(best["ci95"][0].get<double>(), 2) + ", " +
           percent(best["ci95"][1].get<double>(), 2) + "] | " + p + " | " + c.verdict() + " |\n";
  }
  return out;
}

}  // namespace rota_lm::results

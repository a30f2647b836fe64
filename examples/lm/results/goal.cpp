#include "results/goal.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include <nlohmann/json.hpp>

#include "engine/error.hpp"
#include "evaluate/json_report.hpp"
#include "results/grid.hpp"
#include "results/numbers.hpp"

namespace rota_lm::results {

bool goal_cell::of_rival() const {
  const ordered_json& interval = best().at("ci95");
  const bool loses = dense - best_rival_score >= 0.01;
  return loses ? interval[0].get<double>() > 0 : interval[1].get<double>() >= 0;
}

const ordered_json& goal_cell::best() const {
  return *std::find_if(rivals.begin(), rivals.end(),
                       [&](const ordered_json& r) { return r["method"] == best_rival; });
}

std::string goal_cell::verdict() const {
  if (reached()) return "reached";
  return std::string("**missed**: ") + (of_dense() ? "" : "dense") +
         (!of_dense() && !of_rival() ? ", " : "") + (of_rival() ? "" : "token-only");
}

namespace {

using eval::row_result;

/// The share of dense accuracy that the goal asks for; 0: none.
double wanted_share(const std::string& task, double budget) {
  if (budget == 0.375) return task == "choice" ? 0.999 : 0.98;
  return task == "choice" ? 0.99 : 0;
}

const row_result& find_row(const evaluation& e, const std::string& name, double budget) {
  for (const row_result& r : e.rows) {
    if (r.spec.how.name == name && (!r.spec.packed() || r.spec.kv_budget == budget)) return r;
  }
  fail("results", "no row " + name);
}

}  // namespace

goal_cell judge(const evaluation& e, const eval::task& t, double budget) {
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

std::vector<goal_cell> judge_all(const evaluation& e) {
  std::vector<goal_cell> out;
  for (const double budget : goal_budgets) {
    for (const eval::task& t : e.tasks) out.push_back(judge(e, t, budget));
  }
  return out;
}

ordered_json goal_json(const std::vector<goal_cell>& cells, std::size_t samples) {
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

std::string goal_table(const std::vector<goal_cell>& cells) {
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

// The goal of the query-aware results: which of its cells are reached.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "evaluate/results.hpp"

namespace rota_lm::results {

using eval::evaluation;
using nlohmann::ordered_json;

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
  bool of_rival() const;
  const ordered_json& best() const;
  bool reached() const { return of_dense() && of_rival(); }
  std::string verdict() const;
};

/// The cell of a task at a budget. Throws where a row that it compares is missing.
goal_cell judge(const evaluation& e, const eval::task& t, double budget);

/// Every task at every budget of the goal.
std::vector<goal_cell> judge_all(const evaluation& e);

ordered_json goal_json(const std::vector<goal_cell>& cells, std::size_t samples);

/// In Markdown.
std::string goal_table(const std::vector<goal_cell>& cells);

}  // namespace rota_lm::results

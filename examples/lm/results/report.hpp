// The query-aware results as JSON and as tables.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "evaluate/results.hpp"

namespace rota_lm::results {

using eval::evaluation;
using eval::row_result;
using nlohmann::ordered_json;

/// One run: a protocol, its rows and samples.
struct finished_run {
  std::string name;  ///< "grid" or "goal"
  evaluation result;
};

/// One JSON row a task.
void add_rows(ordered_json& rows, const finished_run& run);

/// A table of one task: a line a method, a column a budget.
std::string task_table(const evaluation& e, const eval::task& t);

}  // namespace rota_lm::results

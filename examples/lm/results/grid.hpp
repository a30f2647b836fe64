// Which rows the query-aware results are made of.
#pragma once

#include <string>
#include <vector>

#include "evaluate/method.hpp"

namespace rota_lm::results {

using eval::method;
using eval::row_spec;

extern const std::vector<double> every_budget;

/// The method that the goal is about: survivors by the predictor, three quarters of their groups.
extern const std::string goal_method;

/// Expected Attention by itself and with each group scorer, the predictor at both levels, the other
/// token scorers, and groups of every token.
std::vector<row_spec> grid_rows();

/// What the goal's method is compared with, at the same bytes: every token-only row that may be the
/// best one.
extern const std::vector<std::string> goal_rivals;

/// Shares of the dense bytes that the goal is about.
extern const std::vector<double> goal_budgets;

std::vector<row_spec> goal_rows();

/// "token_only" and so on: what sort of method a row is.
std::string category(const row_spec& row);

}  // namespace rota_lm::results

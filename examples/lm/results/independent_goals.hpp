// The goals of the query-independent results: which are reached.
#pragma once

#include <string>
#include <vector>

#include "results/independent_report.hpp"

namespace rota_lm::results {

/// The requirements of these results, each with its figures.
struct independent_goal {
  std::string name, figures;
  bool reached;
};

/// Those whose runs are there.
std::vector<independent_goal> independent_goals(const std::vector<adaptation_group>& all);

/// In Markdown.
std::string goals_table(const std::vector<independent_goal>& goals);

}  // namespace rota_lm::results

// The query-independent results as JSON and as tables.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "results/adaptation_run.hpp"

namespace rota_lm::results {

/// Runs that differ by their seeds only.
struct adaptation_group {
  adaptation_spec spec;  ///< of the first
  std::vector<const finished_adaptation*> runs;

  /// Perplexities at a share of groups, of each run that has it.
  std::vector<double> values(double rho) const;
};

/// Mean and, of several, the sample's standard deviation.
struct spread {
  double mean = 0, deviation = 0;
  std::size_t n = 0;
};

/// Of no values: nothing.
std::optional<spread> spread_of(const std::vector<double>& values);

/// Refers to the runs.
std::vector<adaptation_group> group_runs(const std::vector<finished_adaptation>& runs);

/// The group whose runs differ from `wanted` by their seeds only, or nullptr.
const adaptation_group* find_group(const std::vector<adaptation_group>& all,
                                   const adaptation_spec& wanted);

/// One JSON row a run and share.
nlohmann::ordered_json independent_rows(const std::vector<finished_adaptation>& runs);

/// Tables in Markdown: the runs of several seeds; every rule, fill, basis and router.
std::string headline_table(const std::vector<adaptation_group>& all);
std::string grid_table(const std::vector<adaptation_group>& all);
/// Plain against routed LoRA, nothing dropped.
std::string lora_table(const std::vector<adaptation_group>& all);
/// Training for one share against training for all of them, from the same seed.
std::string one_rho_table(const std::vector<adaptation_group>& all);

/// The largest difference between packed and masked, of any run at any rho.
double worst_distance(const std::vector<finished_adaptation>& runs);

}  // namespace rota_lm::results

// A diagnosis as a table, as JSON and as a picture.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "diagnose/gather.hpp"
#include "evaluate/json_report.hpp"

namespace rota_lm::diagnose {

/// A head's numbers, means over the samples.
struct head_numbers {
  double tokens_kept, mean_groups, overlap, token_mass, pair_mass, correlation, output_error;

  explicit head_numbers(const head_sums& s);
};

std::string table_of(const diagnosis& d);

/// A tenth of the tokens each, least relevant first: mean K_j over all layers and heads.
std::array<double, 10> mean_deciles(const diagnosis& d);
std::string decile_table(const std::vector<diagnosis>& all);
eval::ordered_json json_of(const diagnosis& d);

/// Relevance against allocation: one line a method.
std::string decile_svg(const std::vector<diagnosis>& all);

}  // namespace rota_lm::diagnose

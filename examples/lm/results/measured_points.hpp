// An adapted model measured through the packed store.
#pragma once

#include <string>
#include <vector>

#include "adapt/program.hpp"
#include "evaluate/options.hpp"
#include "results/adaptation_run.hpp"

namespace rota_lm::results {

/// How evaluate measures what `folder` holds.
eval::options measuring(const adaptation_spec& spec, const adaptation_setting& s,
                        const std::string& folder);

/// The points of what `folder` holds after training.
std::vector<adapted_point> measured_points(const adaptation& a, const adaptation_setting& s,
                                           const eval::options& how, const std::string& folder);

}  // namespace rota_lm::results

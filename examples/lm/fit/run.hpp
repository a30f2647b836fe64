// The steps of a fit: its name, its looks at the held-out samples and what is shown of them.
#pragma once

#include <ostream>
#include <string>

#include <rota/cpu/train/predictor_fitter.hpp>

#include "fit/course.hpp"
#include "fit/options.hpp"

namespace rota_lm {

/// Everything that the course of a fit depends on, in words.
std::string describe_run(const fit_options& o, const std::string& identity);

/// Fits until the held-out loss no longer falls, from where the state file stands if there is one;
/// keeps the state file up to date. Throws at a loss that is not finite.
fit_course run_fit(const fit_options& o, const std::string& run, rota::cpu::predictor_fitter& f,
                   std::ostream& out);

}  // namespace rota_lm

// fit_predictor, but for the command line and the exit code.
#pragma once

#include <ostream>

#include "fit/options.hpp"

namespace rota_lm {

/// Tries the places for results, gathers samples, fits, and writes what the options name. Throws
/// where one of them cannot be, before the work whose result it takes.
void fit_predictor(const fit_options& o, std::ostream& out);

}  // namespace rota_lm

// The command line of fit_predictor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "fit/calibration.hpp"
#include "fit/texts.hpp"

namespace rota_lm {

struct fit_options {
  std::string model, out, state, json, svg;
  std::string text;                ///< file; empty: the generator
  std::vector<synth::task> tasks;  ///< of the generator
  bool unseen = false;             ///< of the generator: cut before the question
  calibration_setting setting;
  text_lengths lengths;
  std::size_t samples = 1500;
  std::size_t rank = 32;  ///< 0: query-blind
  std::size_t batch = 6, steps = 4000, patience = 10;
  double learning_rate = 2e-3;
  std::uint64_t seed = 1;
  int threads = 2;
};

/// Throws, in one line that names the option, where one is unknown, beyond what it may be, or of no
/// effect beside another; help_wanted (engine/command_line.hpp) on --help and --version.
fit_options parse_fit_options(int argc, const char* const* argv);

}  // namespace rota_lm

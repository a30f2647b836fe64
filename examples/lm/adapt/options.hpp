// The command line of adapt.
#pragma once

#include <cstddef>
#include <string>

#include "adapt/texts.hpp"
#include "adapt/trainer.hpp"
#include "engine/value_basis.hpp"

namespace rota_lm {

struct adapt_options {
  std::string model, out, text, state, json;
  adapter_setting setting;
  basis_kind basis = basis_kind::identity;
  sequence_lengths lengths;
  training_options training;
  std::size_t calibration = 16;       ///< sequences that bases, codecs and orders start from
  sequence_lengths spans = {768, 1};  ///< what thresholds are calibrated on
  std::size_t save_every = 100;       ///< steps between states
};

/// Throws, in one line that names the option, where one is unknown, beyond what it may be, or of no
/// effect beside another; help_wanted (engine/command_line.hpp) on --help and --version.
adapt_options parse_adapt_options(int argc, const char* const* argv);

}  // namespace rota_lm

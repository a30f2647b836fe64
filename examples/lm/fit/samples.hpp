// The calibration samples of a fit.
#pragma once

#include <vector>

#include "engine/model.hpp"
#include "engine/tokenizer/tokenizer.hpp"
#include "fit/calibration.hpp"
#include "fit/options.hpp"

namespace rota_lm {

/// Calibration samples; a tenth of them are held out: they tell when to stop.
struct calibration_set {
  std::vector<owned_calibration> owned;
  std::vector<rota::train::calibration_sample> training, held_out;
};

/// Runs the model over the texts of the options. Throws where one is longer than the model reads.
calibration_set gather_samples(const fit_options& o, const model& lm, const tokenizer& text,
                               const calibrator& from);

}  // namespace rota_lm

// Where a fit stands, written down so that it can go on.
#pragma once

#include <cstddef>
#include <string>

#include <rota/cpu/train/predictor_fitter.hpp>

#include "fit/course.hpp"

namespace rota_lm {

/// A fit that was interrupted.
struct saved_fit {
  rota::cpu::predictor_fit_state state;
  fit_course course;
};

/// `run` says in words which fit this is the state of: everything that its course depends on.
void save_fit(const rota::cpu::predictor_fit_state& s, const fit_course& course,
              const std::string& run, const std::string& path);

/// Throws when the file is of another fit, or holds what no fit of `steps` can have come to.
saved_fit load_fit(const std::string& path, const std::string& run, std::size_t parameters,
                   std::size_t steps);

}  // namespace rota_lm

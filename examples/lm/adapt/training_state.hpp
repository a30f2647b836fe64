// What a training run is between two steps.
#pragma once

#include <cstddef>
#include <vector>

namespace rota_lm {

/// Everything that changes while training: written down, it resumes to the bit.
template <class T>
struct training_state {
  std::vector<T> parameters, first_moment, second_moment;
  std::vector<T> thresholds;  ///< of a calibrated rule, for each rho of the options; empty at first
  std::size_t step = 0;
};

}  // namespace rota_lm

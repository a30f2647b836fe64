// Where a training run stands, written down so that it goes on to the bit.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "adapt/training_state.hpp"

namespace rota_lm {

/// Mean losses of some steps.
struct training_look {
  std::size_t step = 0;  ///< the last of them
  float prefix = 0, continuation = 0, balance = 0;
};
using training_course = std::vector<training_look>;

struct saved_training {
  training_state<float> state;
  training_course course;
};

/// `run` says in words which run this is the state of. A full disk leaves the file that was there.
void save_training(const training_state<float>& s, const training_course& course,
                   const std::string& run, const std::string& path);

/// What a run says about the size of its state.
struct training_size {
  std::size_t parameters = 0, rhos = 0, steps = 0;
};

/// Throws when the file is of another run, or holds what no run can have come to.
saved_training load_training(const std::string& path, const std::string& run,
                             const training_size& size);

}  // namespace rota_lm

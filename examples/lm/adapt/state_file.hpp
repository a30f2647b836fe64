// Where a training run stands, written down so that it goes on to the bit.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "adapt/trainer.hpp"

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

/// Throws when the file is of another run.
saved_training load_training(const std::string& path, const std::string& run,
                             std::size_t parameters, std::size_t rhos);

}  // namespace rota_lm

// Where a training run stands, written down so that it goes on to the bit.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "adapt/training_state.hpp"
#include "engine/safetensors.hpp"
#include "engine/safetensors_writer.hpp"
#include "fit/state_file.hpp"

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

namespace detail {
inline constexpr const char* training_format = "rota.training.1";
}

/// `run` says in words which run this is the state of. A full disk leaves the file that was there.
inline void save_training(const training_state<float>& s, const training_course& course,
                          const std::string& run, const std::string& path) {
  safetensors_writer out;
  out.describe("format", detail::training_format);
  out.describe("run", run);
  out.describe("step", std::to_string(s.step));
  const auto add = [&](const char* name, const std::vector<float>& x) {
    out.add(name, {x.size()}, x);
  };
  add("parameters", s.parameters);
  add("first_moment", s.first_moment);
  add("second_moment", s.second_moment);
  add("thresholds", s.thresholds);
  std::vector<float> looks;
  for (const training_look& l : course)
    looks.insert(looks.end(), {static_cast<float>(l.step), l.prefix, l.continuation, l.balance});
  out.add("course", {course.size(), 4}, looks);
  out.write(path);
}

/// What a run says about the size of its state.
struct training_size {
  std::size_t parameters = 0, rhos = 0, steps = 0;
};

/// Throws when the file is of another run, or holds what no run can have come to.
inline saved_training load_training(const std::string& path, const std::string& run,
                                    const training_size& size) {
  const safetensors_file file(path);
  if (detail::state_text(file, "format") != detail::training_format)
    fail(path, "is not the state of a training run");
  if (detail::state_text(file, "run") != run)
    fail(path, "is the state of another run: " + printable(detail::state_text(file, "run"), 400));
  saved_training out;
  out.state.step = static_cast<std::size_t>(detail::state_number(file, "step", size.steps));
  out.state.parameters = detail::state_vector(file, "parameters", size.parameters);
  out.state.first_moment = detail::state_vector(file, "first_moment", size.parameters);
  out.state.second_moment = detail::state_squares(file, "second_moment", size.parameters);
  if (file.info("thresholds").elements != 0)
    out.state.thresholds = detail::state_vector(file, "thresholds", size.rhos);
  const std::vector<float> rows = detail::state_course(file, 4, out.state.step);
  for (std::size_t i = 0; i < rows.size(); i += 4) {
    const training_look look{static_cast<std::size_t>(rows[i]), rows[i + 1], rows[i + 2],
                             rows[i + 3]};
    if (!std::isfinite(look.prefix) || !std::isfinite(look.continuation) ||
        !std::isfinite(look.balance))
      fail(path, "\"course\" has a loss that is not finite");
    out.course.push_back(look);
  }
  return out;
}

}  // namespace rota_lm

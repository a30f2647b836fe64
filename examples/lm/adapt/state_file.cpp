#include "adapt/state_file.hpp"

#include <cmath>

#include "engine/error.hpp"
#include "engine/safetensors.hpp"
#include "engine/safetensors_writer.hpp"
#include "fit/state_metadata.hpp"

namespace rota_lm {

namespace {

constexpr const char* training_format = "rota.training.1";

}  // namespace

void save_training(const training_state<float>& s, const training_course& course,
                   const std::string& run, const std::string& path) {
  safetensors_writer out;
  out.describe("format", training_format);
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

saved_training load_training(const std::string& path, const std::string& run,
                             const training_size& size) {
  const safetensors_file file(path);
  check_state(file, training_format, run, "run");
  saved_training out;
  out.state.step = static_cast<std::size_t>(state_number(file, "step", size.steps));
  out.state.parameters = state_vector(file, "parameters", size.parameters);
  out.state.first_moment = state_vector(file, "first_moment", size.parameters);
  out.state.second_moment = state_squares(file, "second_moment", size.parameters);
  if (file.info("thresholds").elements != 0)
    out.state.thresholds = state_vector(file, "thresholds", size.rhos);
  const std::vector<float> rows = state_course(file, 4, out.state.step);
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

#include "adapt/state_file.hpp"

#include <cstdint>

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
                             std::size_t parameters, std::size_t rhos) {
  const safetensors_file file(path);
  if (state_text(file, "format") != training_format)
    fail(path, "is not the state of a training run");
  if (state_text(file, "run") != run)
    fail(path, "is the state of another run: " + printable(state_text(file, "run"), 400));
  saved_training out;
  out.state.step = static_cast<std::size_t>(state_number(file, "step"));
  const auto read = [&](const char* name, std::size_t size, std::vector<float>& x) {
    const std::uint64_t shape[] = {size};
    file.check_weight(name, shape);
    x.resize(size);
    file.read_f32(name, x);
  };
  read("parameters", parameters, out.state.parameters);
  read("first_moment", parameters, out.state.first_moment);
  read("second_moment", parameters, out.state.second_moment);
  if (file.info("thresholds").elements != 0) read("thresholds", rhos, out.state.thresholds);
  const std::vector<std::uint64_t> shape = file.info("course").shape;
  if (shape.size() != 2 || shape[1] != 4) fail(path, "\"course\" is not four columns");
  file.check_weight("course", shape);
  std::vector<float> rows(4 * shape[0]);
  file.read_f32("course", rows);
  for (std::size_t i = 0; i < rows.size(); i += 4)
    out.course.push_back(
        {static_cast<std::size_t>(rows[i]), rows[i + 1], rows[i + 2], rows[i + 3]});
  return out;
}

}  // namespace rota_lm

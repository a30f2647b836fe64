#include "fit/state_file.hpp"

#include <bit>
#include <cstdint>
#include <vector>

#include "engine/error.hpp"
#include "engine/safetensors.hpp"
#include "engine/safetensors_writer.hpp"
#include "fit/state_metadata.hpp"

namespace rota_lm {

namespace {

constexpr const char* fit_state_format = "rota.predictor_fit.2";

fit_course read_course(const safetensors_file& file) {
  const std::vector<std::uint64_t>& shape = file.info("course").shape;
  if (shape.size() != 2 || shape[1] != 3 || shape[0] == 0)
    fail(file.path(), "\"course\" is not rows of three columns");
  file.check_weight("course", shape);
  std::vector<float> rows(3 * shape[0]);
  file.read_f32("course", rows);
  fit_course out;
  for (std::size_t i = 0; i < rows.size(); i += 3) {
    if (!(rows[i] >= 0 && rows[i] <= static_cast<float>(largest_step)))
      fail(file.path(), "\"course\" has no steps");
    out.push_back({static_cast<std::size_t>(rows[i]), rows[i + 1], rows[i + 2]});
  }
  return out;
}

}  // namespace

void save_fit(const rota::cpu::predictor_fit_state& s, const fit_course& course,
              const std::string& run, const std::string& path) {
  safetensors_writer out;
  out.describe("format", fit_state_format);
  out.describe("run", run);
  out.describe("step", std::to_string(s.step));
  out.describe("looks_since_best", std::to_string(s.looks_since_best));
  out.describe("best_loss_bits", std::to_string(std::bit_cast<std::uint64_t>(s.best_loss)));
  const auto add = [&](const char* name, const std::vector<float>& x) {
    out.add(name, {x.size()}, x);
  };
  add("parameters", s.parameters);
  add("first_moment", s.first_moment);
  add("second_moment", s.second_moment);
  add("best", s.best);
  std::vector<float> looks;
  for (const fit_look& look : course)
    looks.insert(looks.end(), {static_cast<float>(look.step), look.training, look.held_out});
  out.add("course", {course.size(), 3}, looks);
  out.write(path);
}

saved_fit load_fit(const std::string& path, const std::string& run, std::size_t parameters) {
  const safetensors_file file(path);
  if (state_text(file, "format") != fit_state_format) {
    fail(path, "is not the state of a fit");
  }
  if (state_text(file, "run") != run) {
    fail(path, "is the state of another fit: " + state_text(file, "run"));
  }
  saved_fit out;
  rota::cpu::predictor_fit_state& s = out.state;
  s.step = static_cast<rota::index_t>(state_number(file, "step"));
  s.looks_since_best = static_cast<rota::index_t>(state_number(file, "looks_since_best"));
  s.best_loss = std::bit_cast<double>(state_number(file, "best_loss_bits"));
  const auto read = [&](const char* name, std::vector<float>& x) {
    const std::uint64_t shape[] = {parameters};
    file.check_weight(name, shape);
    x.resize(parameters);
    file.read_f32(name, x);
  };
  read("parameters", s.parameters);
  read("first_moment", s.first_moment);
  read("second_moment", s.second_moment);
  read("best", s.best);
  out.course = read_course(file);
  return out;
}

}  // namespace rota_lm

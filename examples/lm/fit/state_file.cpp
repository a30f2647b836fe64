#include "fit/state_file.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "engine/error.hpp"
#include "engine/safetensors.hpp"
#include "engine/safetensors_writer.hpp"
#include "fit/state_metadata.hpp"

namespace rota_lm {

namespace {

constexpr const char* fit_state_format = "rota.predictor_fit.2";

fit_course read_course(const safetensors_file& file, std::size_t step) {
  const std::vector<float> rows = state_course(file, 3, step);
  if (rows.empty()) fail(file.path(), "\"course\" has no rows");
  fit_course out;
  for (std::size_t i = 0; i < rows.size(); i += 3) {
    // No step has been made before the first look: it has no loss of training.
    if (!std::isfinite(rows[i + 2]) || !(std::isfinite(rows[i + 1]) || rows[i] == 0))
      fail(file.path(), "\"course\" has a loss that is not finite");
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

saved_fit load_fit(const std::string& path, const std::string& run, std::size_t parameters,
                   std::size_t steps) {
  const safetensors_file file(path);
  check_state(file, fit_state_format, run, "fit");
  saved_fit out;
  rota::cpu::predictor_fit_state& s = out.state;
  s.step = static_cast<rota::index_t>(state_number(file, "step", steps));
  s.looks_since_best = static_cast<rota::index_t>(state_number(file, "looks_since_best", steps));
  s.best_loss = std::bit_cast<double>(state_number(file, "best_loss_bits", INT64_MAX));
  if (!std::isfinite(s.best_loss)) fail(path, "\"best_loss_bits\" is not a finite loss");
  s.parameters = state_vector(file, "parameters", parameters);
  s.first_moment = state_vector(file, "first_moment", parameters);
  s.second_moment = state_squares(file, "second_moment", parameters);
  s.best = state_vector(file, "best", parameters);
  out.course = read_course(file, static_cast<std::size_t>(s.step));
  return out;
}

}  // namespace rota_lm

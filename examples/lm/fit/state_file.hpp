// Where a fit stands, written down so that it can go on.
#pragma once

#include <bit>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <rota/cpu/train/predictor_fitter.hpp>

#include "engine/error.hpp"
#include "engine/safetensors.hpp"
#include "engine/safetensors_writer.hpp"
#include "fit/course.hpp"

namespace rota_lm {

namespace detail {

inline constexpr const char* fit_state_format = "rota.predictor_fit.2";

inline std::uint64_t state_number(const safetensors_file& file, const std::string& key,
                                  std::uint64_t most) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) fail(file.path(), "no \"" + key + "\" in its metadata");
  const std::string& word = found->second;
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (problem != std::errc() || end != word.data() + word.size() || value > most) {
    fail(file.path(), "\"" + key + "\" is \"" + printable(word, 40) +
                          "\", must be a whole number up to " + std::to_string(most));
  }
  return value;
}

/// A tensor [size] of finite numbers.
inline std::vector<float> state_vector(const safetensors_file& file, const std::string& name,
                                       std::size_t size) {
  const std::uint64_t shape[] = {size};
  file.check_weight(name, shape);
  std::vector<float> out(size);
  file.read_weight(name, out);
  return out;
}

/// Means of squares, none of which is negative.
inline std::vector<float> state_squares(const safetensors_file& file, const std::string& name,
                                        std::size_t size) {
  std::vector<float> out = state_vector(file, name, size);
  for (const float x : out)
    if (x < 0) fail(file.path(), "\"" + name + "\" has a negative number, which no square is");
  return out;
}

/// The rows of "course", whose first column is a step: rising, up to the state's own.
inline std::vector<float> state_course(const safetensors_file& file, std::size_t columns,
                                       std::size_t step) {
  const std::vector<std::uint64_t>& shape = file.info("course").shape;
  if (shape.size() != 2 || shape[1] != columns)
    fail(file.path(), "\"course\" is not rows of " + std::to_string(columns) + " columns");
  file.check_weight("course", shape);
  std::vector<float> rows(columns * shape[0]);
  file.read_f32("course", rows);
  float last = -1;
  for (std::size_t i = 0; i < rows.size(); i += columns) {
    const bool next =
        rows[i] > last && rows[i] == std::floor(rows[i]) && rows[i] <= static_cast<float>(step);
    if (!next)
      fail(file.path(), "\"course\" has steps that do not rise to " + std::to_string(step));
    last = rows[i];
  }
  return rows;
}

inline const std::string& state_text(const safetensors_file& file, const char* key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) fail(file.path(), "is not the state of a fit");
  return found->second;
}

inline fit_course read_course(const safetensors_file& file, std::size_t step) {
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

}  // namespace detail

/// A fit that was interrupted.
struct saved_fit {
  rota::cpu::predictor_fit_state state;
  fit_course course;
};

/// `run` says in words which fit this is the state of: everything that its course depends on.
inline void save_fit(const rota::cpu::predictor_fit_state& s, const fit_course& course,
                     const std::string& run, const std::string& path) {
  safetensors_writer out;
  out.describe("format", detail::fit_state_format);
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

/// Throws when the file is of another fit, or holds what no fit of `steps` can have come to.
inline saved_fit load_fit(const std::string& path, const std::string& run, std::size_t parameters,
                          std::size_t steps) {
  const safetensors_file file(path);
  if (detail::state_text(file, "format") != detail::fit_state_format) {
    fail(path, "is not the state of a fit");
  }
  if (detail::state_text(file, "run") != run) {
    fail(path, "is the state of another fit: " + detail::state_text(file, "run"));
  }
  saved_fit out;
  rota::cpu::predictor_fit_state& s = out.state;
  s.step = static_cast<rota::index_t>(detail::state_number(file, "step", steps));
  s.looks_since_best =
      static_cast<rota::index_t>(detail::state_number(file, "looks_since_best", steps));
  s.best_loss = std::bit_cast<double>(detail::state_number(file, "best_loss_bits", INT64_MAX));
  if (!std::isfinite(s.best_loss)) fail(path, "\"best_loss_bits\" is not a finite loss");
  s.parameters = detail::state_vector(file, "parameters", parameters);
  s.first_moment = detail::state_vector(file, "first_moment", parameters);
  s.second_moment = detail::state_squares(file, "second_moment", parameters);
  s.best = detail::state_vector(file, "best", parameters);
  out.course = detail::read_course(file, static_cast<std::size_t>(s.step));
  return out;
}

}  // namespace rota_lm

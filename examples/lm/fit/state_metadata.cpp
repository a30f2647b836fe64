#include "fit/state_metadata.hpp"

#include <charconv>
#include <cmath>

#include "engine/error.hpp"

namespace rota_lm {

std::uint64_t state_number(const safetensors_file& file, const std::string& key,
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

void check_state(const safetensors_file& file, const std::string& format, const std::string& run,
                 const std::string& kind) {
  const auto& all = file.metadata();
  const auto its_format = all.find("format"), its_run = all.find("run");
  if (its_format == all.end() || its_format->second != format || its_run == all.end())
    fail(file.path(), "is not the state of a " + kind);
  if (its_run->second != run)
    fail(file.path(), "is the state of another " + kind + ": " + printable(its_run->second, 400));
}

std::vector<float> state_vector(const safetensors_file& file, const std::string& name,
                                std::size_t size) {
  const std::uint64_t shape[] = {size};
  file.check_weight(name, shape);
  std::vector<float> out(size);
  file.read_weight(name, out);
  return out;
}

std::vector<float> state_squares(const safetensors_file& file, const std::string& name,
                                 std::size_t size) {
  std::vector<float> out = state_vector(file, name, size);
  for (const float x : out)
    if (x < 0) fail(file.path(), "\"" + name + "\" has a negative number, which no square is");
  return out;
}

std::vector<float> state_course(const safetensors_file& file, std::size_t columns,
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

}  // namespace rota_lm

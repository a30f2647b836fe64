#include "fit/state_metadata.hpp"

#include <charconv>

#include "engine/error.hpp"

namespace rota_lm {

std::uint64_t state_number(const safetensors_file& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) fail(file.path(), "no \"" + key + "\" in its metadata");
  const std::string& word = found->second;
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (problem != std::errc() || end != word.data() + word.size() || value > INT64_MAX) {
    fail(file.path(), key + " is not a number");
  }
  return value;
}

const std::string& state_text(const safetensors_file& file, const char* key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) fail(file.path(), "is not the state of a fit");
  return found->second;
}

}  // namespace rota_lm

// A folder for files that a test writes, removed with the test.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "engine/error.hpp"

namespace rota_lm_test {

class temp_folder {
 public:
  temp_folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "rota_lm_XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = pattern;
  }
  temp_folder(const temp_folder&) = delete;
  temp_folder& operator=(const temp_folder&) = delete;
  ~temp_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }
  std::string write(const std::string& name, std::string_view content) const {
    std::ofstream(path_ + "/" + name, std::ios::binary) << content;
    return path_ + "/" + name;
  }

 private:
  std::string path_;
};

/// The bytes of a safetensors file: the length of the header, the header, the data.
inline std::string safetensors_bytes(std::string header, std::string_view data) {
  const std::uint64_t length = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out + header + std::string(data);
}

/// The message of the rota_lm::error that `action` throws; "" when it throws nothing.
template <class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const rota_lm::error& e) {
    return e.what();
  }
  return "";
}

/// Whether a message is one printable line that has `part` in it.
inline bool one_line_with(std::string_view message, std::string_view part) {
  for (const char c : message) {
    if (c < 0x20 || c > 0x7e) return false;
  }
  return message.find(part) != std::string_view::npos;
}

}  // namespace rota_lm_test

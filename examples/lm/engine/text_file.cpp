#include "engine/text_file.hpp"

#include <filesystem>
#include <fstream>
#include <span>

#include "engine/atomic_file.hpp"
#include "engine/error.hpp"

namespace rota_lm {

namespace {

/// Something that a new file must not take the place of.
bool is_device(const std::string& path) {
  std::error_code ignored;
  const auto what = std::filesystem::status(path, ignored);
  return std::filesystem::is_other(what);
}

}  // namespace

void check_writable(const std::string& path) {
  if (!is_device(path)) {
    const atomic_file tried(path, readers::as_usual);
  } else if (!std::ofstream(path, std::ios::binary | std::ios::app)) {
    fail(path, "cannot be written");
  }
}

void write_file(const std::string& path, const std::string& text) {
  if (is_device(path)) {
    std::ofstream out(path, std::ios::binary);
    out << text << std::flush;
    if (!out) fail(path, "cannot be written");
    return;
  }
  atomic_file file(path, readers::as_usual);
  file.write(std::as_bytes(std::span(text)));
  file.commit();
}

}  // namespace rota_lm

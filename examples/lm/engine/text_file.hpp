// Reports on disk.
#pragma once

#include <fstream>
#include <string>

#include "engine/error.hpp"

namespace rota_lm {

/// Refuses a path that could not be written later: to be called before the work whose result it
/// takes. Leaves what is there as it is.
inline void check_writable(const std::string& path) {
  if (!std::ofstream(path, std::ios::binary | std::ios::app)) fail(path, "cannot be written");
}

inline void write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text << std::flush;
  if (!file) fail(path, "cannot be written");
}

}  // namespace rota_lm

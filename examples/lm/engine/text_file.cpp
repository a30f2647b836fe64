#include "engine/text_file.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <span>

#include <unistd.h>

#include "engine/atomic_file.hpp"
#include "engine/error.hpp"

namespace rota_lm {

void check_writable(const std::string& path) {
  if (!is_stream(path)) {
    const atomic_file tried(path, readers::as_usual);
  } else if (::access(path.c_str(), W_OK) != 0) {  // opened, a pipe would wait for its reader
    fail(path, std::string("cannot be written: ") + std::strerror(errno));
  }
}

void write_file(const std::string& path, const std::string& text) {
  if (is_stream(path)) {
    std::ofstream out(path, std::ios::binary | std::ios::app);
    out << text << std::flush;
    if (!out) fail(path, std::string("cannot be written: ") + std::strerror(errno));
    return;
  }
  atomic_file file(path, readers::as_usual);
  file.write(std::as_bytes(std::span(text)));
  file.commit();
}

}  // namespace rota_lm

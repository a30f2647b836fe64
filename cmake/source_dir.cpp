#include "source_dir.hpp"

const char* rota_own::source_dir() {
  return ROTA_SOURCE_DIR;
}

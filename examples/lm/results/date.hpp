#pragma once

#include <ctime>
#include <string>

namespace rota_lm::results {

/// Today in UTC, as 2026-01-31.
inline std::string today() {
  const std::time_t now = std::time(nullptr);
  char text[20];
  std::strftime(text, sizeof text, "%Y-%m-%d", std::gmtime(&now));
  return text;
}

}  // namespace rota_lm::results

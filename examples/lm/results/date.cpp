#include "results/date.hpp"

#include <ctime>

namespace rota_lm::results {

std::string today() {
  const std::time_t now = std::time(nullptr);
  char text[20];
  std::strftime(text, sizeof text, "%Y-%m-%d", std::gmtime(&now));
  return text;
}

}  // namespace rota_lm::results

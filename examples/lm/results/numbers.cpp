#include "results/numbers.hpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace rota_lm::results {

std::string fixed(double x, int places) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*f", places, x);
  return text;
}

std::string short_number(double x) {
  char text[40];
  std::snprintf(text, sizeof text, "%g", x);
  return text;
}

std::string percent(double x, int places) {
  return std::isfinite(x) ? fixed(100 * x, places) : "-";
}

double three_digits(double p) {
  char text[20];
  std::snprintf(text, sizeof text, "%.3g", p);
  return std::strtod(text, nullptr);
}

}  // namespace rota_lm::results

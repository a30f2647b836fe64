// quality.svg: each task's quality against the bytes that are left.
#pragma once

#include <string>
#include <utility>

#include "evaluate/results.hpp"

namespace rota_lm::eval {

namespace detail {

struct panel {
  double x, y, w, h;
};

/// Where the entries of a legend stand: a line after the other, none wider than the page.
class legend_places {
 public:
  static constexpr double line_height = 18;

  legend_places(double left, double right, double top);

  /// The place of the next entry.
  std::pair<double, double> next(const std::string& words);
  double bottom() const { return y_; }

 private:
  double left_, right_, x_, y_;
};

}  // namespace detail

std::string quality_svg(const evaluation& e);

}  // namespace rota_lm::eval

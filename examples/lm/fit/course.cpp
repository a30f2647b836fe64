#include "fit/course.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <nlohmann/json.hpp>

#include "evaluate/svg.hpp"

namespace rota_lm {

namespace {

/// From a little below the least loss to a little above the largest.
eval::axis loss_axis(const fit_course& course, double bottom, double top) {
  double low = course.front().held_out, high = low;
  for (const fit_look& look : course) {
    for (const float loss : {look.held_out, look.training}) {
      if (std::isnan(loss)) continue;
      low = std::min(low, static_cast<double>(loss));
      high = std::max(high, static_cast<double>(loss));
    }
  }
  const double margin = std::max(0.06 * (high - low), 1e-3);
  return {low - margin, high + margin, bottom, top};
}

void draw_losses(eval::svg& page, const fit_course& course, float fit_look::*loss,
                 const eval::axis& across, const eval::axis& up, const char* stroke) {
  std::vector<std::pair<double, double>> points;
  for (const fit_look& look : course) {
    if (!std::isnan(look.*loss))
      points.emplace_back(across(static_cast<double>(look.step)), up(look.*loss));
  }
  page.polyline(points, stroke);
}

}  // namespace

std::string fit_json(const fit_course& course, const std::string& run) {
  nlohmann::ordered_json out = {{"run", run}, {"looks", nlohmann::ordered_json::array()}};
  const auto best = std::min_element(course.begin(), course.end(),
                                     [](auto& a, auto& b) { return a.held_out < b.held_out; });
  if (best != course.end()) out["best_step"] = best->step;
  for (const fit_look& look : course) {
    nlohmann::ordered_json row = {{"step", look.step}, {"training", look.training}};
    if (std::isnan(look.training)) row["training"] = nullptr;
    row["held_out"] = look.held_out;
    out["looks"].push_back(std::move(row));
  }
  return out.dump(1) + "\n";
}

std::string fit_svg(const fit_course& course) {
  using namespace eval;
  constexpr double left = 70, right = 540, top = 50, bottom = 290;
  svg page(right + 30, bottom + 50);
  const double steps = std::max<double>(1, static_cast<double>(course.back().step));
  const axis across{0, steps, left, right}, up = loss_axis(course, bottom, top);
  for (const double t : ticks(0, steps, 6)) {
    page.line(across(t), top, across(t), bottom, colour::grid);
    page.text(across(t), bottom + 16, svg::num(t), anchor::middle, 11, colour::faint);
  }
  for (const double t : ticks(up.low, up.high, 5)) {
    page.line(left, up(t), right, up(t), colour::grid);
    page.text(left - 6, up(t) + 4, svg::num(t), anchor::end, 11, colour::faint);
  }
  page.frame(left, top, right - left, bottom - top, colour::faint);
  page.text(left, 24, "Fit of a predictor", anchor::start, 15, colour::ink, true);
  page.text(right - 90, 40, "training", anchor::end, 11, colour::lines[1]);
  page.text(right, 40, "held out", anchor::end, 11, colour::lines[0]);
  page.text((left + right) / 2, bottom + 36, "steps", anchor::middle, 11);
  page.text_upwards(left - 46, (top + bottom) / 2, "listwise cross-entropy", 11);
  draw_losses(page, course, &fit_look::training, across, up, colour::lines[1]);
  draw_losses(page, course, &fit_look::held_out, across, up, colour::lines[0]);
  return page.document();
}

}  // namespace rota_lm

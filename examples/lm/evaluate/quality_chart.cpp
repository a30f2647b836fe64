#include "evaluate/quality_chart.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "evaluate/svg.hpp"
#include "evaluate/table.hpp"

namespace rota_lm::eval {
namespace detail {

legend_places::legend_places(double left, double right, double top)
    : left_(left), right_(right), x_(left), y_(top) {}

std::pair<double, double> legend_places::next(const std::string& words) {
  const double width = 34 + 7.0 * static_cast<double>(words.size());
  if (x_ > left_ && x_ + width > right_) {
    x_ = left_;
    y_ += line_height;
  }
  const std::pair<double, double> at{x_, y_};
  x_ += width + 22;
  return at;
}

}  // namespace detail

namespace {

using detail::legend_places;
using detail::panel;

/// The rows of one method, by bytes.
struct chart_line {
  std::string method;
  std::vector<const row_result*> rows;
};

std::vector<chart_line> lines_of(const evaluation& e) {
  std::vector<chart_line> out;
  for (const row_result& r : e.rows) {
    if (!r.spec.packed() || !r.failure.empty()) continue;
    auto same = std::find_if(out.begin(), out.end(),
                             [&](const chart_line& l) { return l.method == r.spec.how.name; });
    if (same == out.end()) same = out.insert(out.end(), {r.spec.how.name, {}});
    same->rows.push_back(&r);
  }
  for (chart_line& l : out) {
    std::sort(l.rows.begin(), l.rows.end(), [](const row_result* a, const row_result* b) {
      return a->bytes.ratio() < b->bytes.ratio();
    });
  }
  return out;
}

class quality_panel {
 public:
  quality_panel(svg& page, const evaluation& e, const task& t, panel at)
      : page_(page), e_(e), task_(t), at_(at), lines_(lines_of(e)) {
    across_ = {0, 1.02, at.x, at.x + at.w};
    const bool is_text = t.is_perplexity();
    scale_ = is_text ? 1 : 100;
    up_ = is_text ? perplexity_axis() : axis{0, 104, at.y + at.h, at.y};
  }

  void draw() {
    draw_axes();
    draw_references();
    for (std::size_t i = 0; i < lines_.size(); ++i) draw_line(i);
  }

 private:
  estimate score(const row_result& r) const { return score_of(r, task_, e_.how.seed); }

  /// From a little below the best to a little above the worst, so that differences can be seen.
  axis perplexity_axis() const {
    double low = 1e30, high = 0;
    for (const row_result& r : e_.rows) {
      const estimate x = score(r);
      if (!x.known()) continue;
      low = std::min(low, x.range.low);
      high = std::max(high, x.range.high);
    }
    if (high <= low) return {0, 1, at_.y + at_.h, at_.y};
    const double margin = 0.06 * (high - low);
    return {low - margin, high + margin, at_.y + at_.h, at_.y};
  }

  void draw_axes() {
    const double bottom = at_.y + at_.h;
    for (const double t : ticks(0, 1, 4)) {
      page_.line(across_(t), at_.y, across_(t), bottom, colour::grid);
      page_.text(across_(t), bottom + 16, svg::num(t), anchor::middle, 11, colour::faint);
    }
    for (const double t : ticks(up_.low, up_.high, 5)) {
      page_.line(at_.x, up_(t), at_.x + at_.w, up_(t), colour::grid);
      page_.text(at_.x - 6, up_(t) + 4, svg::num(t), anchor::end, 11, colour::faint);
    }
    page_.frame(at_.x, at_.y, at_.w, at_.h, colour::faint);
    const bool is_text = task_.is_perplexity();
    page_.text(at_.x, at_.y - 9, task_.name, anchor::start, 13, colour::ink, true);
    page_.text(at_.x + at_.w, at_.y - 9, is_text ? "lower is better" : "higher is better",
               anchor::end, 11, colour::faint);
    page_.text(at_.x + at_.w / 2, bottom + 34, "KV bytes / dense KV bytes", anchor::middle, 11);
    page_.text_upwards(at_.x - 42, at_.y + at_.h / 2, is_text ? "perplexity" : "right answers, %",
                       11);
  }

  /// Dense with its interval as a band; without context as a dotted line.
  void draw_references() {
    if (const row_result* r = e_.find(row_spec::kind::dense)) {
      const estimate x = score(*r);
      if (x.known()) {
        const double top = up_(x.range.high * scale_), bottom = up_(x.range.low * scale_);
        page_.rect(at_.x, top, at_.w, bottom - top, colour::ink, 0.09);
        page_.line(at_.x, up_(x.value * scale_), at_.x + at_.w, up_(x.value * scale_), colour::ink,
                   1.5, "7 4");
      }
    }
    if (const row_result* r = e_.find(row_spec::kind::no_context)) {
      const estimate x = score(*r);
      if (x.known()) {
        page_.line(at_.x, up_(x.value * scale_), at_.x + at_.w, up_(x.value * scale_),
                   colour::faint, 1.5, "2 3");
      }
    }
  }

  void draw_line(std::size_t i) {
    const char* const ink = colour::lines[i % colour::lines.size()];
    std::vector<std::pair<double, double>> points;
    for (const row_result* r : lines_[i].rows) {
      const estimate x = score(*r);
      if (!x.known()) continue;
      // Rows at the same budget stand side by side.
      const double shift =
          3.0 * (static_cast<double>(i) - static_cast<double>(lines_.size() - 1) / 2);
      const double px = across_(r->bytes.ratio()) + shift;
      points.emplace_back(px, up_(x.value * scale_));
      page_.line(px, up_(x.range.low * scale_), px, up_(x.range.high * scale_), ink, 1.3);
      for (const double end : {x.range.low, x.range.high}) {
        page_.line(px - 3, up_(end * scale_), px + 3, up_(end * scale_), ink, 1.3);
      }
    }
    page_.polyline(points, ink);
    for (const auto& [x, y] : points) page_.mark(x, y, i, ink);
  }

  svg& page_;
  const evaluation& e_;
  const task& task_;
  panel at_;
  std::vector<chart_line> lines_;
  axis across_, up_;
  double scale_ = 1;
};

/// Draws the legend and returns where its last line stands.
double draw_quality_legend(svg& page, const evaluation& e, legend_places places) {
  const std::vector<chart_line> lines = lines_of(e);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const char* const ink = colour::lines[i % colour::lines.size()];
    const auto [x, y] = places.next(lines[i].method);
    page.line(x, y - 4, x + 24, y - 4, ink, 2);
    page.mark(x + 12, y - 4, i, ink);
    page.text(x + 30, y, lines[i].method);
  }
  const auto [dense_x, dense_y] = places.next("dense");
  page.rect(dense_x, dense_y - 9, 24, 10, colour::ink, 0.09);
  page.line(dense_x, dense_y - 4, dense_x + 24, dense_y - 4, colour::ink, 1.5, "7 4");
  page.text(dense_x + 30, dense_y, "dense");
  const auto [none_x, none_y] = places.next("no context");
  page.line(none_x, none_y - 4, none_x + 24, none_y - 4, colour::faint, 1.5, "2 3");
  page.text(none_x + 30, none_y, "no context");
  return places.bottom();
}

}  // namespace

std::string quality_svg(const evaluation& e) {
  constexpr double panel_w = 380, panel_h = 250, left = 70, gap_x = 90, gap_y = 85;
  const std::size_t panels = e.tasks.size(), columns = std::min<std::size_t>(panels, 2);
  const std::size_t rows = (panels + 1) / 2;
  const double width =
      std::max(940.0, left + static_cast<double>(columns) * (panel_w + gap_x) - gap_x + 30);
  const legend_places places(left, width - 20, 94);
  svg unseen(1, 1);  // the legend's height, before there is a page of that height
  const double top = draw_quality_legend(unseen, e, places) + 36;
  svg page(width, top + static_cast<double>(rows) * (panel_h + gap_y) - 20);
  page.text(left, 30, "Quality against the KV bytes that are left", anchor::start, 17, colour::ink,
            true);
  page.text(left, 50, protocol_line(e.how) + "; bars: 95% intervals", anchor::start, 11,
            colour::faint);
  page.text(left, 66, selectors_line(e.how), anchor::start, 11, colour::faint);
  draw_quality_legend(page, e, places);
  for (std::size_t i = 0; i < panels; ++i) {
    const std::size_t column = i % 2, row = i / 2;
    const double x = left + static_cast<double>(column) * (panel_w + gap_x);
    const double y = top + static_cast<double>(row) * (panel_h + gap_y);
    quality_panel(page, e, e.tasks[i], {x, y, panel_w, panel_h}).draw();
  }
  return page.document();
}

}  // namespace rota_lm::eval

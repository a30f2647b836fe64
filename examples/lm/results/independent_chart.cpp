#include "results/independent_chart.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "evaluate/quality_chart.hpp"
#include "evaluate/svg.hpp"

namespace rota_lm::results {

namespace {

class chart {
 public:
  explicit chart(const std::vector<adaptation_group>& all) {
    for (const adaptation_group& g : all)
      if (g.runs.size() > 1) (g.spec.dense() ? dense_ : lines_).push_back(&g);
  }

  std::string document() const {
    eval::svg page(980, 470);
    draw_panel(page, {70, 40, 390, 300}, false);
    draw_panel(page, {560, 40, 390, 300}, true);
    eval::detail::legend_places places(70, 950, 400);
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      const std::string words = words_of(lines_[i]->spec);
      const auto [x, y] = places.next(words);
      page.line(x, y - 4, x + 24, y - 4, ink(i), 2);
      page.mark(x + 12, y - 4, i, ink(i));
      page.text(x + 30, y, words);
    }
    for (std::size_t i = 0; i < dense_.size(); ++i) {
      const std::string words = words_of(dense_[i]->spec);
      const auto [x, y] = places.next(words);
      page.line(x, y - 4, x + 24, y - 4, eval::colour::ink, 1.5, dashes(i));
      page.text(x + 30, y, words);
    }
    return page.document();
  }

 private:
  static const char* ink(std::size_t i) {
    return eval::colour::lines[i % eval::colour::lines.size()];
  }
  static const char* dashes(std::size_t i) { return i == 0 ? "7 4" : "2 3"; }
  static std::string words_of(const adaptation_spec& s) {
    return s.method + (s.dense() || s.lora != plain_lora ? ", " + s.lora : "");
  }

  eval::axis perplexity_axis(const eval::detail::panel& at) const {
    double low = 1e30, high = 0;
    for (const auto* part : {&lines_, &dense_})
      for (const adaptation_group* g : *part)
        for (const finished_adaptation* r : g->runs)
          for (const adapted_point& p : r->points) {
            low = std::min(low, p.perplexity);
            high = std::max(high, p.perplexity);
          }
    const double margin = 0.06 * (high - low) + 1e-6;
    return {low - margin, high + margin, at.y + at.h, at.y};
  }

  void draw_panel(eval::svg& page, const eval::detail::panel& at, bool bytes) const {
    const double least = bytes ? 0.5 : 0;  // keys alone are half of the bytes
    const eval::axis across{least, 1.04, at.x, at.x + at.w}, up = perplexity_axis(at);
    for (const double t : eval::ticks(least, 1, 4)) {
      page.line(across(t), at.y, across(t), at.y + at.h, eval::colour::grid);
      page.text(across(t), at.y + at.h + 16, eval::svg::num(t), eval::anchor::middle, 11,
                eval::colour::faint);
    }
    for (const double t : eval::ticks(up.low, up.high, 5)) {
      page.line(at.x, up(t), at.x + at.w, up(t), eval::colour::grid);
      page.text(at.x - 6, up(t) + 4, eval::svg::num(t), eval::anchor::end, 11, eval::colour::faint);
    }
    page.frame(at.x, at.y, at.w, at.h, eval::colour::faint);
    page.text(at.x + at.w, at.y - 9, "lower is better", eval::anchor::end, 11, eval::colour::faint);
    page.text(at.x + at.w / 2, at.y + at.h + 34,
              bytes ? "KV bytes / dense KV bytes" : "kept value groups, rho", eval::anchor::middle,
              11);
    page.text_upwards(at.x - 42, at.y + at.h / 2, "held-out perplexity", 11);
    for (std::size_t i = 0; i < dense_.size(); ++i) {
      const double y = up(spread_of(dense_[i]->values(1))->mean);
      page.line(at.x, y, at.x + at.w, y, eval::colour::ink, 1.5, dashes(i));
    }
    for (std::size_t i = 0; i < lines_.size(); ++i) draw_line(page, i, across, up, bytes);
  }

  void draw_line(eval::svg& page, std::size_t i, const eval::axis& across, const eval::axis& up,
                 bool bytes) const {
    const adaptation_group& g = *lines_[i];
    std::vector<std::pair<double, double>> line;
    for (std::size_t k = 0; k < g.runs[0]->points.size(); ++k) {
      double x = 0, y = 0;
      for (const finished_adaptation* r : g.runs) {
        const adapted_point& p = r->points[k];
        const double at = across(bytes ? p.kv_bytes_ratio : p.rho);
        x += at / static_cast<double>(g.runs.size());
        y += up(p.perplexity) / static_cast<double>(g.runs.size());
        page.mark(at, up(p.perplexity), i, ink(i));
      }
      line.emplace_back(x, y);
    }
    page.polyline(line, ink(i), 1.5);
  }

  std::vector<const adaptation_group*> lines_, dense_;
};

}  // namespace

std::string independent_chart(const std::vector<adaptation_group>& all) {
  return chart(all).document();
}

}  // namespace rota_lm::results

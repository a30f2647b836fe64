#include "needle/report.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "evaluate/table.hpp"

namespace rota_lm::needle {

namespace {

const eval::task& cell(const setting& s, const eval::evaluation& e, std::size_t length,
                       std::size_t depth) {
  return e.tasks[length * s.depths.size() + depth];
}

/// 0.934 as "93".
std::string whole_percent(double x) {
  return std::isfinite(x) ? eval::fixed(100 * x, 0) : "-";
}

}  // namespace

std::string tables(const setting& s, const eval::evaluation& e) {
  std::string out = "question " + eval::name_of(eval::protocol_names, s.how.when) +
                    " while compressing, " + std::to_string(s.how.samples) +
                    " samples a cell; percent found, by depth of the needle\n";
  for (const eval::row_result& r : e.rows) {
    out += "\n" + r.spec.title();
    if (!r.failure.empty()) {
      out += ": " + r.failure + "\n";
      continue;
    }
    if (r.spec.packed()) out += ", " + eval::fixed(r.bytes.ratio(), 4) + " of the bytes";
    out += "\n";
    eval::text_table t;
    std::vector<std::string> head{"tokens"};
    for (const double depth : s.depths) head.push_back(depth_name(depth));
    t.add(head);
    for (std::size_t i = 0; i < s.lengths.size(); ++i) {
      std::vector<std::string> cells{std::to_string(s.lengths[i])};
      for (std::size_t k = 0; k < s.depths.size(); ++k) {
        const double score = score_of(r, cell(s, e, i, k), s.how.seed).value;
        cells.push_back(whole_percent(score));
      }
      t.add(cells);
    }
    out += t.text();
  }
  return out;
}

eval::ordered_json rows_json(const setting& s, const eval::evaluation& e) {
  eval::ordered_json out = eval::ordered_json::array();
  for (const eval::row_result& r : e.rows) {
    for (std::size_t i = 0; i < s.lengths.size(); ++i) {
      for (std::size_t k = 0; k < s.depths.size(); ++k) {
        const eval::estimate score = score_of(r, cell(s, e, i, k), s.how.seed);
        eval::ordered_json row;
        row["method"] = r.spec.how.name;
        row["protocol"] = eval::name_of(eval::protocol_names, s.how.when);
        row["kv_budget"] = r.spec.kv_budget;
        row["kv_bytes_ratio"] = eval::detail::number(eval::bytes_ratio(r));
        row["length"] = s.lengths[i];
        row["depth"] = s.depths[k];
        row["score"] = eval::detail::number(score.value);
        row["ci95"] = eval::detail::range_of(score);
        row["n"] = s.how.samples;
        row["seed"] = s.how.seed;
        if (!r.failure.empty()) row["failure"] = r.failure;
        out.push_back(std::move(row));
      }
    }
  }
  return out;
}

namespace {

constexpr double cell_w = 62, cell_h = 30;

/// Light is lost, dark is found; the number stands in the cell too.
void draw_cell(eval::svg& page, double x, double y, double score) {
  const bool known = std::isfinite(score);
  page.rect(x, y, cell_w - 2, cell_h - 2, known ? eval::colour::shade(score) : "#f1f1f1");
  page.text(x + cell_w / 2 - 1, y + cell_h / 2 + 4, whole_percent(score), eval::anchor::middle, 12,
            known && score > 0.45 ? "#ffffff" : eval::colour::ink);
}

/// One row's map: lengths across, depths down, as such maps are usually drawn.
void draw_map(eval::svg& page, const setting& s, const eval::evaluation& e,
              const eval::row_result& r, double x, double y) {
  page.text(x, y - 12, r.spec.title(), eval::anchor::start, 12, eval::colour::ink, true);
  for (std::size_t k = 0; k < s.depths.size(); ++k) {
    const double top = y + static_cast<double>(k) * cell_h;
    page.text(x - 8, top + cell_h / 2 + 4, whole_percent(s.depths[k]) + "%", eval::anchor::end, 11);
    for (std::size_t i = 0; i < s.lengths.size(); ++i) {
      draw_cell(page, x + static_cast<double>(i) * cell_w, top,
                score_of(r, cell(s, e, i, k), s.how.seed).value);
    }
  }
  const double bottom = y + static_cast<double>(s.depths.size()) * cell_h + 14;
  for (std::size_t i = 0; i < s.lengths.size(); ++i) {
    page.text(x + (static_cast<double>(i) + 0.5) * cell_w, bottom, std::to_string(s.lengths[i]),
              eval::anchor::middle, 11);
  }
}

}  // namespace

std::string heat_maps(const setting& s, const eval::evaluation& e) {
  const double map_w = std::max(430.0, 80 + static_cast<double>(s.lengths.size()) * cell_w);
  const double map_h = 80 + static_cast<double>(s.depths.size()) * cell_h;
  constexpr double left = 70, top = 112;
  const std::size_t lines = (e.rows.size() + 1) / 2;
  eval::svg page(left + 2 * map_w, top + static_cast<double>(lines) * map_h - 20);
  page.text(left - 40, 30, "Needle in a haystack: found, percent", eval::anchor::start, 17,
            eval::colour::ink, true);
  page.text(left - 40, 50,
            "across: tokens of the context; down: depth of the needle; question " +
                eval::name_of(eval::protocol_names, s.how.when) + " while compressing",
            eval::anchor::start, 11, eval::colour::faint);
  page.text(left - 40, 66,
            std::to_string(s.how.samples) + " samples a cell, seed " + std::to_string(s.how.seed),
            eval::anchor::start, 11, eval::colour::faint);
  for (std::size_t r = 0; r < e.rows.size(); ++r) {
    const std::size_t across = r % 2, down = r / 2;
    draw_map(page, s, e, e.rows[r], left + static_cast<double>(across) * map_w,
             top + static_cast<double>(down) * map_h);
  }
  return page.document();
}

}  // namespace rota_lm::needle

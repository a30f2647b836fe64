#include "diagnose/report.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

#include <nlohmann/json.hpp>

#include "evaluate/svg.hpp"
#include "evaluate/table.hpp"

namespace rota_lm::diagnose {

head_numbers::head_numbers(const head_sums& s)
    : tokens_kept(s.tokens() > 0 ? s.survivors() / s.tokens() : 0),
      mean_groups(s.mean_groups()),
      overlap(s.oracle_pairs > 0 ? s.shared_pairs / std::max(s.pairs, s.oracle_pairs) : 1),
      token_mass(s.token_mass / s.samples),
      pair_mass(s.pair_mass / s.samples),
      correlation(s.correlation / s.samples),
      output_error(s.output_error / s.samples) {}

std::string table_of(const diagnosis& d) {
  eval::text_table t;
  std::vector<std::string> head{"layer", "head", "kept", "mean_K"};
  for (std::size_t k = 0; k <= d.groups; ++k) head.push_back("K=" + std::to_string(k));
  for (const char* name : {"overlap", "mass_tokens", "mass_groups", "rank_corr", "output_error"}) {
    head.push_back(name);
  }
  t.add(head);
  for (std::size_t layer = 0; layer < d.layers; ++layer) {
    for (std::size_t h = 0; h < d.heads; ++h) {
      const head_sums& s = d.at(layer, h);
      if (s.samples == 0) continue;
      const head_numbers x(s);
      std::vector<std::string> cells{std::to_string(layer), std::to_string(h),
                                     eval::fixed(x.tokens_kept, 3), eval::fixed(x.mean_groups, 2)};
      for (std::size_t k = 1; k < s.histogram.size(); ++k) {
        cells.push_back(eval::fixed(s.histogram[k] / s.tokens(), 3));
      }
      for (const double v : {x.overlap, x.token_mass, x.pair_mass, x.correlation, x.output_error}) {
        cells.push_back(eval::fixed(v, 3));
      }
      t.add(std::move(cells));
    }
  }
  return d.row.title() + "\n" + t.text();
}

std::array<double, 10> mean_deciles(const diagnosis& d) {
  std::array<double, 10> out{};
  for (const head_sums& s : d.sums) {
    for (std::size_t t = 0; t < 10; ++t) {
      out[t] += s.deciles[t] / s.samples / static_cast<double>(d.sums.size());
    }
  }
  return out;
}

std::string decile_table(const std::vector<diagnosis>& all) {
  eval::text_table t;
  std::vector<std::string> head{"mean K_j of the tenth"};
  for (int i = 1; i <= 10; ++i) head.push_back(std::to_string(i));
  t.add(head);
  for (const diagnosis& d : all) {
    if (d.sums.empty()) continue;
    std::vector<std::string> cells{d.row.title()};
    for (const double x : mean_deciles(d)) cells.push_back(eval::fixed(x, 2));
    t.add(std::move(cells));
  }
  return "relevance (the oracle's, least first) against allocation (evicted counts as 0)\n" +
         t.text();
}

eval::ordered_json json_of(const diagnosis& d) {
  eval::ordered_json out;
  out["method"] = d.row.how.name;
  out["kv_budget"] = d.row.kv_budget;
  out["samples_too_small"] = d.too_small;
  out["heads"] = eval::ordered_json::array();
  for (std::size_t layer = 0; layer < d.layers; ++layer) {
    for (std::size_t h = 0; h < d.heads; ++h) {
      const head_sums& s = d.at(layer, h);
      if (s.samples == 0) continue;
      const head_numbers x(s);
      out["heads"].push_back({{"layer", layer},
                              {"head", h},
                              {"histogram", s.histogram},
                              {"tokens_kept", x.tokens_kept},
                              {"mean_groups", x.mean_groups},
                              {"overlap", x.overlap},
                              {"mass_tokens", x.token_mass},
                              {"mass_groups", x.pair_mass},
                              {"rank_correlation", x.correlation},
                              {"output_error", x.output_error}});
    }
  }
  if (!d.sums.empty()) out["deciles"] = mean_deciles(d);
  return out;
}

std::string decile_svg(const std::vector<diagnosis>& all) {
  constexpr double left = 60, top = 50, wide = 460, high = 260, line = 18;
  std::size_t groups = 1;
  for (const diagnosis& d : all) groups = std::max(groups, d.groups);
  eval::svg page(left + wide + 30, top + high + 60 + line * static_cast<double>(all.size()));
  const eval::axis across{1, 10, left, left + wide};
  const eval::axis up{0, static_cast<double>(groups), top + high, top};
  page.text(left, 24, "Do more relevant tokens keep more?", eval::anchor::start, 15,
            eval::colour::ink, true);
  for (const double t : eval::ticks(0, static_cast<double>(groups), 4)) {
    page.line(left, up(t), left + wide, up(t), eval::colour::grid);
    page.text(left - 6, up(t) + 4, eval::svg::num(t), eval::anchor::end, 11, eval::colour::faint);
  }
  for (int t = 1; t <= 10; ++t) {
    page.text(across(t), top + high + 16, std::to_string(t), eval::anchor::middle, 11,
              eval::colour::faint);
  }
  page.frame(left, top, wide, high, eval::colour::faint);
  page.text(left + wide / 2, top + high + 34,
            "tenth of the tokens by oracle relevance, least first", eval::anchor::middle, 11);
  page.text_upwards(left - 34, top + high / 2, "mean kept groups K_j", 11);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].sums.empty()) continue;
    const char* const ink = eval::colour::lines[i % eval::colour::lines.size()];
    const std::array<double, 10> means = mean_deciles(all[i]);
    std::vector<std::pair<double, double>> points;
    for (std::size_t t = 0; t < 10; ++t) {
      points.emplace_back(across(static_cast<double>(t + 1)), up(means[t]));
    }
    page.polyline(points, ink, 2);
    for (const auto& [x, y] : points) page.mark(x, y, i, ink);
    const double y = top + high + 56 + line * static_cast<double>(i);
    page.mark(left + 6, y - 4, i, ink);
    page.text(left + 18, y, all[i].row.title(), eval::anchor::start, 12);
  }
  return page.document();
}

}  // namespace rota_lm::diagnose

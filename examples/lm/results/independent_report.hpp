// The query-independent results as JSON, a page and pictures.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "evaluate/json_report.hpp"
#include "evaluate/quality_chart.hpp"
#include "results/adaptation_run.hpp"
#include "results/report.hpp"

namespace rota_lm::results {

/// Runs that differ by their seeds only.
struct adaptation_group {
  adaptation_spec spec;  ///< of the first
  std::vector<const finished_adaptation*> runs;

  std::vector<double> values(double rho) const {
    std::vector<double> out;
    for (const finished_adaptation* r : runs)
      for (const adapted_point& p : r->points)
        if (p.rho == rho) out.push_back(p.perplexity);
    return out;
  }
};

/// Mean and, of several, the sample's standard deviation.
struct spread {
  double mean = 0, deviation = 0;
  std::size_t n = 0;
};

inline std::optional<spread> spread_of(const std::vector<double>& values) {
  if (values.empty()) return {};
  spread s;
  s.n = values.size();
  for (const double v : values) s.mean += v / static_cast<double>(s.n);
  for (const double v : values) s.deviation += (v - s.mean) * (v - s.mean);
  s.deviation = s.n > 1 ? std::sqrt(s.deviation / static_cast<double>(s.n - 1)) : 0;
  return s;
}

inline std::vector<adaptation_group> group_runs(const std::vector<finished_adaptation>& runs) {
  std::vector<adaptation_group> out;
  for (const finished_adaptation& r : runs) {
    const auto same = std::find_if(out.begin(), out.end(), [&](const adaptation_group& g) {
      return g.spec.same_but_seed(r.spec);
    });
    if (same == out.end())
      out.push_back({r.spec, {&r}});
    else
      same->runs.push_back(&r);
  }
  return out;
}

inline const adaptation_group* find_group(const std::vector<adaptation_group>& all,
                                          const adaptation_spec& wanted) {
  for (const adaptation_group& g : all)
    if (g.spec.same_but_seed(wanted)) return &g;
  return nullptr;
}

inline ordered_json independent_rows(const std::vector<finished_adaptation>& runs) {
  ordered_json rows = ordered_json::array();
  for (const finished_adaptation& r : runs)
    for (const adapted_point& p : r.points)
      rows.push_back({{"method", r.spec.method},
                      {"lora", r.spec.lora},
                      {"fill", r.spec.fill},
                      {"basis", r.spec.basis},
                      {"router", r.spec.router},
                      {"trained_rho", r.spec.trained},
                      {"rho", p.rho},
                      {"rho_kept", eval::detail::number(p.rho_kept)},
                      {"kv_bytes_ratio", eval::detail::number(p.kv_bytes_ratio)},
                      {"perplexity", eval::detail::number(p.perplexity)},
                      {"packed_less_masked", three_digits(p.packed_less_masked)},
                      {"seed", r.spec.seed}});
  return rows;
}

namespace detail {

inline std::string fixed(double x, int places) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*f", places, x);
  return text;
}

inline std::string short_number(double x) {
  char text[40];
  std::snprintf(text, sizeof text, "%g", x);
  return text;
}

inline std::string cell(const adaptation_group& g, double rho) {
  const auto s = spread_of(g.values(rho));
  if (!s) return "";
  return fixed(s->mean, 3) + (s->n > 1 ? " ± " + fixed(s->deviation, 3) : "");
}

inline std::string label(const adaptation_spec& s) {
  std::string out = "`" + s.method + "`";
  if (s.lora != plain_lora) out += " " + s.lora;
  return out;
}

inline std::string rho_header(const std::string& first) {
  std::string out = "| " + first + " |";
  for (const double rho : independent_rhos) out += " " + short_number(rho) + " |";
  out += "\n|---|";
  for (std::size_t i = 0; i < independent_rhos.size(); ++i) out += "---|";
  return out + "\n";
}

inline std::string rho_line(const std::string& first, const adaptation_group& g) {
  std::string out = "| " + first + " |";
  for (const double rho : independent_rhos) out += " " + cell(g, rho) + " |";
  return out + "\n";
}

}  // namespace detail

inline std::string headline_table(const std::vector<adaptation_group>& all) {
  std::string out = detail::rho_header("groups by (seeds)");
  for (const adaptation_group& g : all)
    if (g.runs.size() > 1)
      out +=
          detail::rho_line(detail::label(g.spec) + " (" + std::to_string(g.runs.size()) + ")", g);
  return out;
}

inline std::string grid_table(const std::vector<adaptation_group>& all) {
  std::string out = detail::rho_header("groups by, fill, basis");
  for (const adaptation_group& g : all) {
    const adaptation_spec& s = g.spec;
    if (s.dense() || s.lora != plain_lora || s.trained != "every") continue;
    const bool usual = s.router == "none" || s.router == "per_head";
    out += detail::rho_line("`" + s.method + "`, " + s.fill + ", " + s.basis +
                                (usual ? "" : ", " + s.router + " router"),
                            g);
  }
  return out;
}

/// Plain against routed LoRA, nothing dropped.
inline std::string lora_table(const std::vector<adaptation_group>& all) {
  std::string out = "| adapter | numbers trained | perplexity | seeds |\n|---|---|---|---|\n";
  for (const adaptation_group& g : all)
    if (g.spec.dense())
      out += "| " + g.spec.lora + " | " + std::to_string(g.runs[0]->parameters) + " | " +
             detail::cell(g, 1) + " | " + std::to_string(g.runs.size()) + " |\n";
  return out;
}

/// Training for one share against training for all of them, from the same seed.
inline std::string one_rho_table(const std::vector<adaptation_group>& all) {
  std::string out =
      "| groups by | rho | trained for it alone | trained for every rho, same seed |\n"
      "|---|---|---|---|\n";
  for (const adaptation_group& g : all) {
    if (g.spec.trained == "every") continue;
    adaptation_spec every = g.spec;
    every.trained = "every";
    adaptation_group other{every, {}};
    if (const adaptation_group* seeds = find_group(all, every))
      for (const finished_adaptation* r : seeds->runs)
        if (r->spec.seed == g.spec.seed) other.runs.push_back(r);
    const double rho = std::stod(g.spec.trained);
    out += "| `" + g.spec.method + "` | " + g.spec.trained + " | " + detail::cell(g, rho) + " | " +
           detail::cell(other, rho) + " |\n";
  }
  return out;
}

/// The requirements of these results, each with its figures.
struct independent_goal {
  std::string name, figures;
  bool reached;
};

namespace detail {

inline std::string percent_over(double x, double base) {
  return (x >= base ? "+" : "") + fixed(100 * (x / base - 1), 2) + "%";
}

}  // namespace detail

inline std::vector<independent_goal> independent_goals(const std::vector<adaptation_group>& all) {
  std::vector<independent_goal> out;
  const auto mean = [&](const char* method, const char* lora, const char* router, double rho,
                        const char* fill = "low_rank") -> std::optional<double> {
    const auto* g = find_group(all, {method, lora, fill, "identity", router});
    if (g == nullptr) return {};
    const auto s = spread_of(g->values(rho));
    return s ? std::optional(s->mean) : std::nullopt;
  };
  const auto dense = mean("dense_lora", plain_lora, "none", 1, "none");
  const auto routed_dense = mean("dense_lora", routed_lora, "none", 1, "none");
  const auto routed = mean("adaptive_span", routed_lora, "per_head", 0.25);
  if (dense && routed)
    out.push_back({"adaptive span, low-rank fill, routed LoRA at rho 0.25: within 2% of dense LoRA",
                   detail::percent_over(*routed, *dense) + " against plain dense LoRA" +
                       (routed_dense ? ", " + detail::percent_over(*routed, *routed_dense) +
                                           " against routed dense LoRA"
                                     : ""),
                   *routed <= 1.02 * *dense && (!routed_dense || *routed <= 1.02 * *routed_dense)});
  if (dense && routed_dense)
    out.push_back({"routed LoRA no worse than plain at equal active parameters",
                   detail::percent_over(*routed_dense, *dense), *routed_dense <= *dense});
  const auto* ours = find_group(all, {"adaptive_span", routed_lora});
  for (const double rho : independent_rhos) {
    if (rho >= 1 || ours == nullptr) continue;
    const std::vector<double> seeds = ours->values(rho);
    const auto mine = spread_of(seeds);
    if (!mine) continue;
    const double worst = *std::max_element(seeds.begin(), seeds.end());
    double best = 0;
    std::string whose;
    for (const adaptation_group& g : all) {
      if (g.spec.method != "static" && g.spec.method != "value_norm") continue;
      const auto s = spread_of(g.values(rho));
      if (!s || g.spec.trained != "every" || (!whose.empty() && s->mean >= best)) continue;
      best = s->mean;
      whose = g.spec.method + ", " + g.spec.fill + ", " + g.spec.basis;
    }
    if (whose.empty()) continue;
    out.push_back(
        {"better than every method that is not learned at rho " + detail::short_number(rho),
         detail::percent_over(mine->mean, best) + " against the best (" + whose +
             "), our worst seed " + detail::percent_over(worst, best),
         mine->mean < best});
  }
  return out;
}

inline std::string goals_table(const std::vector<independent_goal>& goals) {
  std::string out = "| goal | measured | |\n|---|---|---|\n";
  for (const independent_goal& g : goals)
    out +=
        "| " + g.name + " | " + g.figures + " | " + (g.reached ? "reached" : "**missed**") + " |\n";
  return out;
}

/// The largest difference between packed and masked, of any run at any rho.
inline double worst_distance(const std::vector<finished_adaptation>& runs) {
  double worst = 0;
  for (const finished_adaptation& r : runs)
    for (const adapted_point& p : r.points) worst = std::max(worst, std::abs(p.packed_less_masked));
  return worst;
}

}  // namespace rota_lm::results

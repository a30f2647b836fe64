#include "results/independent_report.hpp"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "evaluate/json_report.hpp"
#include "results/numbers.hpp"

namespace rota_lm::results {

std::vector<double> adaptation_group::values(double rho) const {
  std::vector<double> out;
  for (const finished_adaptation* r : runs)
    for (const adapted_point& p : r->points)
      if (p.rho == rho) out.push_back(p.perplexity);
  return out;
}

std::optional<spread> spread_of(const std::vector<double>& values) {
  if (values.empty()) return {};
  spread s;
  s.n = values.size();
  for (const double v : values) s.mean += v / static_cast<double>(s.n);
  for (const double v : values) s.deviation += (v - s.mean) * (v - s.mean);
  s.deviation = s.n > 1 ? std::sqrt(s.deviation / static_cast<double>(s.n - 1)) : 0;
  return s;
}

std::vector<adaptation_group> group_runs(const std::vector<finished_adaptation>& runs) {
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

const adaptation_group* find_group(const std::vector<adaptation_group>& all,
                                   const adaptation_spec& wanted) {
  for (const adaptation_group& g : all)
    if (g.spec.same_but_seed(wanted)) return &g;
  return nullptr;
}

nlohmann::ordered_json independent_rows(const std::vector<finished_adaptation>& runs) {
  auto rows = nlohmann::ordered_json::array();
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

double worst_distance(const std::vector<finished_adaptation>& runs) {
  double worst = 0;
  for (const finished_adaptation& r : runs)
    for (const adapted_point& p : r.points) worst = std::max(worst, std::abs(p.packed_less_masked));
  return worst;
}

}  // namespace rota_lm::results

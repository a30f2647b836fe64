#include "results/independent_goals.hpp"

#include <algorithm>
#include <optional>

#include "results/numbers.hpp"

namespace rota_lm::results {

namespace {

std::string percent_over(double x, double base) {
  return (x >= base ? "+" : "") + fixed(100 * (x / base - 1), 2) + "%";
}

}  // namespace

std::vector<independent_goal> independent_goals(const std::vector<adaptation_group>& all) {
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
                   percent_over(*routed, *dense) + " against plain dense LoRA" +
                       (routed_dense ? ", " + percent_over(*routed, *routed_dense) +
                                           " against routed dense LoRA"
                                     : ""),
                   *routed <= 1.02 * *dense && (!routed_dense || *routed <= 1.02 * *routed_dense)});
  if (dense && routed_dense)
    out.push_back({"routed LoRA no worse than plain at equal active parameters",
                   percent_over(*routed_dense, *dense), *routed_dense <= *dense});
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
    out.push_back({"better than every method that is not learned at rho " + short_number(rho),
                   percent_over(mine->mean, best) + " against the best (" + whose +
                       "), our worst seed " + percent_over(worst, best),
                   mine->mean < best});
  }
  return out;
}

std::string goals_table(const std::vector<independent_goal>& goals) {
  std::string out = "| goal | measured | |\n|---|---|---|\n";
  for (const independent_goal& g : goals)
    out +=
        "| " + g.name + " | " + g.figures + " | " + (g.reached ? "reached" : "**missed**") + " |\n";
  return out;
}

}  // namespace rota_lm::results

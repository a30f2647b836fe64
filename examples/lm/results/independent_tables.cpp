// The tables of the query-independent results.
#include <string>

#include "results/independent_report.hpp"
#include "results/numbers.hpp"

namespace rota_lm::results {

namespace {

std::string cell(const adaptation_group& g, double rho) {
  const auto s = spread_of(g.values(rho));
  if (!s) return "";
  return fixed(s->mean, 3) + (s->n > 1 ? " ± " + fixed(s->deviation, 3) : "");
}

std::string label(const adaptation_spec& s) {
  std::string out = "`" + s.method + "`";
  if (s.lora != plain_lora) out += " " + s.lora;
  return out;
}

std::string rho_header(const std::string& first) {
  std::string out = "| " + first + " |";
  for (const double rho : independent_rhos) out += " " + short_number(rho) + " |";
  out += "\n|---|";
  for (std::size_t i = 0; i < independent_rhos.size(); ++i) out += "---|";
  return out + "\n";
}

std::string rho_line(const std::string& first, const adaptation_group& g) {
  std::string out = "| " + first + " |";
  for (const double rho : independent_rhos) out += " " + cell(g, rho) + " |";
  return out + "\n";
}

}  // namespace

std::string headline_table(const std::vector<adaptation_group>& all) {
  std::string out = rho_header("groups by (seeds)");
  for (const adaptation_group& g : all)
    if (g.runs.size() > 1)
      out += rho_line(label(g.spec) + " (" + std::to_string(g.runs.size()) + ")", g);
  return out;
}

std::string grid_table(const std::vector<adaptation_group>& all) {
  std::string out = rho_header("groups by, fill, basis");
  for (const adaptation_group& g : all) {
    const adaptation_spec& s = g.spec;
    if (s.dense() || s.lora != plain_lora || s.trained != "every") continue;
    const bool usual = s.router == "none" || s.router == "per_head";
    out += rho_line("`" + s.method + "`, " + s.fill + ", " + s.basis +
                        (usual ? "" : ", " + s.router + " router"),
                    g);
  }
  return out;
}

std::string lora_table(const std::vector<adaptation_group>& all) {
  std::string out = "| adapter | numbers trained | perplexity | seeds |\n|---|---|---|---|\n";
  for (const adaptation_group& g : all)
    if (g.spec.dense())
      out += "| " + g.spec.lora + " | " + std::to_string(g.runs[0]->parameters) + " | " +
             cell(g, 1) + " | " + std::to_string(g.runs.size()) + " |\n";
  return out;
}

std::string one_rho_table(const std::vector<adaptation_group>& all) {
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
    out += "| `" + g.spec.method + "` | " + g.spec.trained + " | " + cell(g, rho) + " | " +
           cell(other, rho) + " |\n";
  }
  return out;
}

}  // namespace rota_lm::results

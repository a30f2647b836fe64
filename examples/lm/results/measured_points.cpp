#include "results/measured_points.hpp"

#include <algorithm>
#include <numeric>

#include <nlohmann/json.hpp>

#include "engine/adapted_model.hpp"
#include "engine/parallel.hpp"
#include "engine/tokenizer/tokenizer.hpp"
#include "evaluate/program.hpp"

namespace rota_lm::results {

eval::options measuring(const adaptation_spec& spec, const adaptation_setting& s,
                        const std::string& folder) {
  std::string rhos;
  for (const double rho : independent_rhos) {
    if (!is_measured(spec, rho)) continue;
    rhos += (rhos.empty() ? "" : ",") + nlohmann::json(rho).dump();
  }
  std::vector<std::string> words = {"evaluate",
                                    "--model",
                                    s.model,
                                    "--adapter",
                                    folder,
                                    "--tasks",
                                    "market",
                                    "--methods",
                                    "adapted",
                                    "--rhos",
                                    rhos,
                                    "--timing",
                                    "off",
                                    "--samples",
                                    std::to_string(s.samples),
                                    "--seed",
                                    std::to_string(s.seed),
                                    "--threads",
                                    std::to_string(s.threads)};
  words.insert(words.end(), s.evaluate_words.begin(), s.evaluate_words.end());
  std::vector<const char*> pointers;
  for (const std::string& w : words) pointers.push_back(w.c_str());
  return eval::parse_options(static_cast<int>(pointers.size()), pointers.data());
}

namespace {

/// A row's loss on the first samples less that of masked passes, in nats a token.
double distance_to_masked(const adaptation& a, const eval::task& t, const eval::row_result& row,
                          const adaptation_setting& s) {
  std::vector<double> distances(std::min(s.masked_samples, s.samples));
  in_parallel(s.threads, distances.size(), [&](std::size_t i) {
    const eval::prepared sample = t.make(i);
    std::vector<token_id> ids = sample.prefill;
    ids.insert(ids.end(), sample.answers[0].begin(), sample.answers[0].end());
    const eval::outcome& packed = row.outcomes.at(t.name)[i];
    distances[i] =
        packed.score / packed.weight - a.masked_loss(ids, sample.prefill.size(), *row.spec.how.rho);
  });
  return std::accumulate(distances.begin(), distances.end(), 0.0) /
         static_cast<double>(distances.size());
}

}  // namespace

std::vector<adapted_point> measured_points(const adaptation& a, const adaptation_setting& s,
                                           const eval::options& how, const std::string& folder) {
  std::vector<adapted_point> out;
  const adapted_model adapted = load_adapted(s.model, folder);
  const tokenizer text = tokenizer::load(s.model);
  const eval::evaluation e = eval::evaluate(how, adapted.lm, text, &adapted.routing);
  for (const eval::row_result& row : e.rows) {
    if (!row.spec.how.adapted) continue;
    out.push_back({*row.spec.how.rho, row.bytes.ratio(), row.bytes.rho(),
                   eval::score_of(row, e.tasks[0], 1).value,
                   distance_to_masked(a, e.tasks[0], row, s)});
  }
  return out;
}

}  // namespace rota_lm::results

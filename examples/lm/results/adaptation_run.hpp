// One adaptation, trained and measured through the packed store; written down when it is finished.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <numeric>
#include <ostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "adapt/program.hpp"
#include "evaluate/program.hpp"
#include "results/independent_grid.hpp"

namespace rota_lm::results {

/// What all runs of a grid have in common.
struct adaptation_setting {
  std::string model, journal;
  std::vector<std::string> adapt_words;  ///< beside the grid's: --text, --prefix, ...
  std::vector<std::string> evaluate_words = {"--context", "1024"};
  std::size_t steps = 600, samples = 100;
  std::size_t masked_samples = 8;  ///< run a second time, masked
  std::uint64_t seed = 2;          ///< of the samples; 1 is what rates were chosen on
  int threads = 2;
};

/// An adapted model at one share of groups.
struct adapted_point {
  double rho, kv_bytes_ratio, rho_kept;
  double perplexity;
  double packed_less_masked;  ///< difference of the losses of the same texts, nats a token
};

struct finished_adaptation {
  adaptation_spec spec;
  std::size_t parameters = 0;
  double seconds = 0;  ///< of training, in one piece or the last
  std::vector<adapted_point> points;
};

namespace detail {

inline adapt_options training(const adaptation_spec& spec, const adaptation_setting& s,
                              const std::string& folder) {
  std::vector<std::string> words = {"adapt",
                                    "--model",
                                    s.model,
                                    "--out",
                                    folder,
                                    "--state",
                                    folder + "/state",
                                    "--steps",
                                    std::to_string(s.steps),
                                    "--threads",
                                    std::to_string(s.threads)};
  for (const auto& more : {s.adapt_words, adapt_words(spec)})
    words.insert(words.end(), more.begin(), more.end());
  std::vector<const char*> pointers;
  for (const std::string& w : words) pointers.push_back(w.c_str());
  return parse_adapt_options(static_cast<int>(pointers.size()), pointers.data());
}

inline bool is_measured(const adaptation_spec& spec, double rho) {
  if (spec.dense()) return rho == 1;
  if (spec.trained != "every") return rho == std::stod(spec.trained);
  return !spec.brief || rho == 0.5 || rho == 0.25;
}

inline eval::options measuring(const adaptation_spec& spec, const adaptation_setting& s,
                               const std::string& folder) {
  std::string rhos;
  for (const double rho : independent_rhos) {
    if (!is_measured(spec, rho)) continue;
    rhos += (rhos.empty() ? "" : ",") + json(rho).dump();
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

/// A row's loss on the first samples less that of masked passes, in nats a token.
inline double distance_to_masked(const adaptation& a, const eval::task& t,
                                 const eval::row_result& row, const adaptation_setting& s) {
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

}  // namespace detail

inline eval::ordered_json outcome_json(const finished_adaptation& f, const std::string& run) {
  eval::ordered_json out = {{"run", run}, {"parameters", f.parameters}, {"seconds", f.seconds}};
  for (const adapted_point& p : f.points)
    out["points"].push_back({{"rho", p.rho},
                             {"kv_bytes_ratio", p.kv_bytes_ratio},
                             {"rho_kept", p.rho_kept},
                             {"perplexity", p.perplexity},
                             {"packed_less_masked", p.packed_less_masked}});
  return out;
}

/// Throws where the file is of another run.
inline finished_adaptation read_finished(const adaptation_spec& spec, const std::string& path,
                                         const std::string& run) {
  const json document = read_json(path);
  const json_field field(document, path);
  if (field.at("run").string() != run)
    fail(path, "is of another run: take another --journal, or delete it");
  finished_adaptation out{
      spec, field.at("parameters").count(0, SIZE_MAX / 2), field.at("seconds").number(0, 1e9), {}};
  const json_field points = field.at("points");
  for (std::size_t i = 0; i < points.size(); ++i) {
    const auto number = [&](const char* key) { return points.at(i).at(key).number(-1e9, 1e9); };
    out.points.push_back({number("rho"), number("kv_bytes_ratio"), number("rho_kept"),
                          number("perplexity"), number("packed_less_masked")});
  }
  return out;
}

namespace detail {

inline bool is_whole(const finished_adaptation& f) {
  return std::all_of(independent_rhos.begin(), independent_rhos.end(), [&](double rho) {
    return !is_measured(f.spec, rho) ||
           std::any_of(f.points.begin(), f.points.end(),
                       [&](const adapted_point& p) { return p.rho == rho; });
  });
}

/// The points of what `folder` holds after training.
inline std::vector<adapted_point> measured_points(const adaptation& a, const adaptation_setting& s,
                                                  const eval::options& how,
                                                  const std::string& folder) {
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

}  // namespace detail

/// Trains and measures, or reads what an earlier call has written. Stopped in between, a later
/// call goes on from the last state. Where the grid has come to ask for more shares than a file
/// has, what was trained is measured again; shares that it no longer asks for are left out.
inline finished_adaptation run_adaptation(const adaptation_spec& spec, const adaptation_setting& s,
                                          std::ostream& log) {
  const std::string folder = s.journal + "/" + spec.key(), path = folder + "/outcome.json";
  const adapt_options how = detail::training(spec, s, folder);
  const eval::options measured = detail::measuring(spec, s, folder);
  adaptation a(how);
  const std::string run = a.name() + " measured on " + std::to_string(s.samples) + " of seed " +
                          std::to_string(s.seed) + " context " + std::to_string(measured.context);
  const bool known = std::filesystem::exists(path);
  finished_adaptation out{spec, a.layout().size(), 0, {}};
  if (known) {
    out = read_finished(spec, path, run);
    std::erase_if(out.points,
                  [&](const adapted_point& p) { return !detail::is_measured(spec, p.rho); });
    if (detail::is_whole(out)) return out;
    if (!std::filesystem::exists(folder + "/state"))
      fail(path, "has fewer shares than are asked for, and its state is gone: delete it to train");
  }
  const auto start = std::chrono::steady_clock::now();
  a.run(log);
  if (!known)
    out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  out.points = detail::measured_points(a, s, measured, folder);
  write_file(path, outcome_json(out, run).dump(1) + "\n");
  return out;
}

}  // namespace rota_lm::results

#include "results/adaptation_run.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <utility>

#include "adapt/options.hpp"
#include "adapt/program.hpp"
#include "engine/error.hpp"
#include "engine/text_file.hpp"
#include "results/finished_file.hpp"
#include "results/measured_points.hpp"

namespace rota_lm::results {

namespace {

adapt_options training(const adaptation_spec& spec, const adaptation_setting& s,
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

bool is_whole(const finished_adaptation& f) {
  return std::all_of(independent_rhos.begin(), independent_rhos.end(), [&](double rho) {
    return !is_measured(f.spec, rho) ||
           std::any_of(f.points.begin(), f.points.end(),
                       [&](const adapted_point& p) { return p.rho == rho; });
  });
}

}  // namespace

bool is_measured(const adaptation_spec& spec, double rho) {
  if (spec.dense()) return rho == 1;
  if (spec.trained != "every") return rho == std::stod(spec.trained);
  return !spec.brief || rho == 0.5 || rho == 0.25;
}

finished_adaptation run_adaptation(const adaptation_spec& spec, const adaptation_setting& s,
                                   std::ostream& log) {
  const std::string folder = s.journal + "/" + spec.key(), path = folder + "/outcome.json";
  const adapt_options how = training(spec, s, folder);
  const eval::options measured = measuring(spec, s, folder);
  adaptation a(how);
  const std::string run = a.name() + " measured on " + std::to_string(s.samples) + " of seed " +
                          std::to_string(s.seed) + " context " + std::to_string(measured.context);
  const bool known = std::filesystem::exists(path);
  finished_adaptation out{spec, a.layout().size(), 0, {}};
  if (known) {
    out = read_finished(spec, path, run);
    std::erase_if(out.points, [&](const adapted_point& p) { return !is_measured(spec, p.rho); });
    if (is_whole(out)) return out;
    if (!std::filesystem::exists(folder + "/state"))
      fail(path, "has fewer shares than are asked for, and its state is gone: delete it to train");
  }
  const auto start = std::chrono::steady_clock::now();
  a.run(log);
  if (!known)
    out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  out.points = measured_points(a, s, measured, folder);
  save_finished(out, run, path);
  return out;
}

}  // namespace rota_lm::results

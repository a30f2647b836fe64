#include "fit/run.hpp"

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "engine/error.hpp"
#include "engine/progress.hpp"
#include "fit/state_file.hpp"

namespace rota_lm {

std::string describe_run(const fit_options& o, const std::string& identity) {
  std::string tasks;
  for (const synth::task t : o.tasks) tasks += std::to_string(static_cast<int>(t)) + ",";
  char rate[40];
  std::snprintf(rate, sizeof rate, "%.9g", o.learning_rate);
  const auto number = [](auto x) { return " " + std::to_string(x); };
  return "model " + identity + " text " +
         (o.text.empty() ? (o.unseen ? "unasked " : "generated ") + tasks : o.text) + " split" +
         number(o.setting.split) + " width" + number(o.setting.group_width) + " window" +
         number(o.setting.window) + " sinks" + number(o.setting.sinks) + " context" +
         number(o.lengths.context) + " horizon" + number(o.lengths.horizon) + " samples" +
         number(o.samples) + (o.setting.worth == slice_worth::wo_norm ? " target wo_norm" : "") +
         " rank" + number(o.rank) + " steps" + number(o.steps) + " batch" + number(o.batch) +
         " rate " + rate + " seed" + number(o.seed);
}

namespace {

void show_look(std::ostream& out, const fit_look& look) {
  char line[80], training[20] = "start";
  if (!std::isnan(look.training)) {
    std::snprintf(training, sizeof training, "%.4f", static_cast<double>(look.training));
  }
  std::snprintf(line, sizeof line, "%8zu  %10s  %10.4f\n", look.step, training,
                static_cast<double>(look.held_out));
  out << line << std::flush;
}

/// A held-out loss, which must be a number.
float finite_look(double loss, rota::index_t step) {
  if (!std::isfinite(loss)) {
    fail("fit", "the held-out loss is not finite at step " + std::to_string(step) +
                    ": take less with --learning-rate");
  }
  return static_cast<float>(loss);
}

/// The steps to the next look. Throws at a loss that is not finite.
fit_look run_to_look(rota::cpu::predictor_fitter& f, progress& shown) {
  double sum = 0;
  int count = 0;
  do {
    const double loss = f.step();
    if (!std::isfinite(loss)) {
      fail("fit", "the loss is not finite at step " + std::to_string(f.state().step + 1) +
                      ": take less with --learning-rate");
    }
    sum += loss;
    ++count;
    shown.add(1, "fit");
  } while (!f.done() && !f.time_to_look());
  return {static_cast<std::size_t>(f.state().step), static_cast<float>(sum / count),
          finite_look(f.look(), f.state().step)};
}

}  // namespace

fit_course run_fit(const fit_options& o, const std::string& run, rota::cpu::predictor_fitter& f,
                   std::ostream& out) {
  out << "    step    training    held out   (listwise cross-entropy)\n";
  fit_course course;
  if (!o.state.empty() && std::filesystem::exists(o.state)) {
    saved_fit saved = load_fit(o.state, run, f.state().parameters.size(), o.steps);
    f.resume(std::move(saved.state));
    course = std::move(saved.course);
    for (const fit_look& look : course) show_look(out, look);
  } else {
    course.push_back({0, std::nanf(""), finite_look(f.start(), 0)});
    show_look(out, course.back());
  }
  progress shown("fit_predictor", static_cast<double>(o.steps));
  shown.add(static_cast<double>(f.state().step), "fit");
  while (!f.done()) {
    course.push_back(run_to_look(f, shown));
    shown.clear();
    show_look(out, course.back());
    if (!o.state.empty()) save_fit(f.state(), course, run, o.state);
  }
  return course;
}

}  // namespace rota_lm

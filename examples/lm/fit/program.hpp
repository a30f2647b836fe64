// fit_predictor, but for the command line and the exit code.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <ostream>
#include <string>
#include <variant>
#include <vector>

#include <rota/cpu/thread_pool.hpp>
#include <rota/cpu/train/predictor_fitter.hpp>

#include "engine/atomic_file.hpp"
#include "engine/model_tag.hpp"
#include "engine/parallel.hpp"
#include "engine/predictor_file.hpp"
#include "engine/progress.hpp"
#include "engine/text_file.hpp"
#include "fit/course.hpp"
#include "fit/options.hpp"
#include "fit/state_file.hpp"

namespace rota_lm {

/// Calibration samples; a tenth of them are held out: they tell when to stop.
struct calibration_set {
  std::vector<owned_calibration> owned;
  std::vector<rota::train::calibration_sample> training, held_out;
};

inline calibration_set gather_samples(const fit_options& o, const model& lm, const tokenizer& text,
                                      const calibrator& from) {
  using source = std::variant<file_texts, generated_texts, unasked_texts>;
  const auto open = [&]() -> source {
    if (!o.text.empty()) return file_texts(o.text, text, o.lengths, o.seed);
    if (o.unseen) return unasked_texts(o.tasks, text, o.lengths, o.seed);
    return generated_texts(o.tasks, text, o.lengths, o.seed);
  };
  const source texts = open();
  calibration_set out;
  out.owned.resize(o.samples);
  progress shown("fit_predictor", static_cast<double>(o.samples));
  in_parallel(o.threads, o.samples, [&](std::size_t i) {
    const cut_text t = std::visit([&](const auto& s) { return s.make(i); }, texts);
    const std::size_t limit = lm.config().max_positions;
    if (limit != 0 && t.ids.size() > limit) {
      fail("--context", "a sample of " + std::to_string(t.ids.size()) +
                            " tokens is longer than the model's " + std::to_string(limit));
    }
    out.owned[i] = from.gather(t);
    shown.add(1, "calibration texts");
  });
  const std::size_t training = o.samples - std::max<std::size_t>(1, o.samples / 10);
  for (std::size_t i = 0; i < o.samples; ++i) {
    (i < training ? out.training : out.held_out).push_back(out.owned[i].view);
  }
  return out;
}

/// Everything that the course of a fit depends on, in words.
inline std::string describe_run(const fit_options& o, const std::string& identity) {
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

inline rota::cpu::predictor_fit_options fitter_options(const fit_options& o) {
  rota::cpu::predictor_fit_options f;
  f.optimizer.learning_rate = o.learning_rate;
  f.batch = static_cast<rota::index_t>(o.batch);
  f.max_steps = static_cast<rota::index_t>(o.steps);
  f.patience = static_cast<rota::index_t>(o.patience);
  f.seed = o.seed;
  return f;
}

inline void show_look(std::ostream& out, const fit_look& look) {
  char line[80], training[20] = "start";
  if (!std::isnan(look.training)) {
    std::snprintf(training, sizeof training, "%.4f", static_cast<double>(look.training));
  }
  std::snprintf(line, sizeof line, "%8zu  %10s  %10.4f\n", look.step, training,
                static_cast<double>(look.held_out));
  out << line << std::flush;
}

/// A held-out loss, which must be a number.
inline float finite_look(double loss, rota::index_t step) {
  if (!std::isfinite(loss)) {
    fail("fit", "the held-out loss is not finite at step " + std::to_string(step) +
                    ": take less with --learning-rate");
  }
  return static_cast<float>(loss);
}

/// The steps to the next look. Throws at a loss that is not finite.
inline fit_look run_to_look(rota::cpu::predictor_fitter& f, progress& shown) {
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

/// Fits until the held-out loss no longer falls; keeps the state file up to date.
inline fit_course run_fit(const fit_options& o, const std::string& run,
                          rota::cpu::predictor_fitter& f, std::ostream& out) {
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

/// Places for results, tried before the work whose result they take.
inline void check_outputs(const fit_options& o) {
  for (const std::string& path : {o.out, o.state}) {
    if (!path.empty()) const atomic_file tried(path, readers::as_usual);
  }
  if (!o.json.empty()) check_writable(o.json);
  if (!o.svg.empty()) check_writable(o.svg);
}

inline void fit_predictor(const fit_options& o, std::ostream& out) {
  check_outputs(o);
  const model lm = model::load(o.model);
  const tokenizer text = tokenizer::load(o.model);
  const std::string identity = model_identity(lm);
  const std::size_t d = lm.config().head_dim;
  if (d % o.setting.group_width != 0 || d / o.setting.group_width > rota::max_groups) {
    fail("--group-width", "does not cut heads of " + std::to_string(d) + " into 1 to 16 groups");
  }
  const calibrator from(lm, o.setting);
  const calibration_set samples = gather_samples(o, lm, text, from);
  rota::train::predictor_shape shape = from.shape();
  shape.rank = static_cast<rota::index_t>(o.rank);
  rota::cpu::thread_pool pool(o.threads);
  const std::string run = describe_run(o, identity);
  rota::cpu::predictor_fitter fitter(shape, fitter_options(o), samples.training, samples.held_out,
                                     pool.get_backend());
  const fit_course course = run_fit(o, run, fitter, out);

  fitted_predictor p;
  p.shape = shape;
  p.split = o.setting.split;
  p.group_width = o.setting.group_width;
  p.window = o.setting.window;
  p.model = identity;
  p.parameters = fitter.result();
  p.notes = {{"run", run},
             {"steps", std::to_string(fitter.state().step)},
             {"held_out_loss", std::to_string(fitter.state().best_loss)}};
  save_predictor(p, o.out);
  if (!o.json.empty()) write_file(o.json, fit_json(course, run).dump(1) + "\n");
  if (!o.svg.empty()) write_file(o.svg, fit_svg(course));
  out << o.out << ": " << shape.parameters() << " weights, held-out loss "
      << fitter.state().best_loss << '\n';
  if (!out.flush()) fail("the table", "cannot be written");
}

}  // namespace rota_lm

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

#include "engine/model_tag.hpp"
#include "engine/parallel.hpp"
#include "engine/predictor_file.hpp"
#include "engine/progress.hpp"
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

inline void show_loss(std::ostream& out, rota::index_t step, const std::string& training,
                      double held_out) {
  char line[80];
  std::snprintf(line, sizeof line, "%8lld  %10s  %10.4f\n", static_cast<long long>(step),
                training.c_str(), held_out);
  out << line << std::flush;
}

/// Fits until the held-out loss no longer falls; keeps the state file up to date.
inline void run_fit(const fit_options& o, const std::string& run, rota::cpu::predictor_fitter& f,
                    std::ostream& out) {
  out << "    step    training    held out   (listwise cross-entropy)\n";
  const bool resumes = !o.state.empty() && std::filesystem::exists(o.state);
  if (resumes) {
    f.resume(load_fit_state(o.state, run, f.state().parameters.size()));
    show_loss(out, f.state().step, "resumed", f.state().best_loss);
  } else {
    show_loss(out, 0, o.rank > 0 ? "ridge, init" : "ridge", f.start());
  }
  progress shown("fit_predictor", static_cast<double>(o.steps));
  shown.add(static_cast<double>(f.state().step), "fit");
  double sum = 0;
  int count = 0;
  while (!f.done()) {
    const double loss = f.step();
    if (!std::isfinite(loss)) {
      fail("fit", "the loss is not finite at step " + std::to_string(f.state().step + 1) +
                      ": take less with --learning-rate");
    }
    sum += loss;
    ++count;
    shown.add(1, "fit");
    if (!f.time_to_look()) continue;
    const double held_out = f.look();
    shown.clear();
    char training[20];
    std::snprintf(training, sizeof training, "%.4f", sum / count);
    show_loss(out, f.state().step, training, held_out);
    if (!o.state.empty()) save_fit_state(f.state(), run, o.state);
    sum = 0;
    count = 0;
  }
}

inline void fit_predictor(const fit_options& o, std::ostream& out) {
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
  run_fit(o, run, fitter, out);

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
  out << o.out << ": " << shape.parameters() << " weights, held-out loss "
      << fitter.state().best_loss << '\n';
  if (!out.flush()) fail("the table", "cannot be written");
}

}  // namespace rota_lm

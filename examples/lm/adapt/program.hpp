// adapt, but for the command line and the exit code.
#pragma once

#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <ostream>
#include <span>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include <rota/core/fingerprint.hpp>

#include "adapt/outcome.hpp"
#include "adapt/state_file.hpp"
#include "engine/adapter_file.hpp"
#include "engine/atomic_file.hpp"
#include "engine/model_tag.hpp"
#include "engine/progress.hpp"
#include "engine/text_file.hpp"

namespace rota_lm {

/// Everything that the course of a run depends on, in words.
inline std::string describe_run(const adapt_options& o, const std::string& identity) {
  const adapter_setting& s = o.setting;
  const training_options& t = o.training;
  std::string out = "model " + identity + " text " + (o.text.empty() ? "market" : o.text);
  const auto add = [&](const char* name, double x) {
    char text[40];
    std::snprintf(text, sizeof text, " %s %.9g", name, x);
    out += text;
  };
  for (const target x : s.targets) add("target", static_cast<int>(x));
  add("rank", static_cast<double>(s.lora.rank));
  add("alpha", s.lora.alpha);
  add("subspaces", s.lora.subspaces);
  add("active", s.lora.active);
  add("gate", static_cast<int>(s.lora.gate));
  out += " groups " + detail::word_of(group_rule_names, s.groups) + " router " +
         detail::word_of(router_form_names, s.router) + " fill " +
         detail::word_of(fill_kind_names, s.fill);
  add("fill rank", static_cast<double>(s.fill_rank));
  add("width", static_cast<double>(s.group_width));
  add("sinks", static_cast<double>(s.sinks));
  add("window", static_cast<double>(s.window));
  add("basis", static_cast<int>(o.basis));
  add("prefix", static_cast<double>(o.lengths.prefix));
  add("continuation", static_cast<double>(o.lengths.continuation));
  for (const double rho : t.rhos) add("rho", rho);
  add("steps", static_cast<double>(t.steps));
  add("batch", static_cast<double>(t.batch));
  add("rate", t.learning_rate);
  add("lora router rate", t.lora_router_rate);
  add("router rate", t.router_rate);
  add("fill rate", t.fill_rate);
  add("warmup", static_cast<double>(t.warmup));
  add("clip", t.clip);
  add("decay", t.optimizer.weight_decay);
  add("prefix weight", t.weights.prefix);
  add("balance", t.weights.balance);
  add("seed", static_cast<double>(t.seed));
  return out;
}

/// Steps to the next multiple of save_every, or to the end.
inline training_look run_to_look(trainer<float>& t, const adapt_options& o, progress& shown) {
  training_look look;
  double steps = 0, tokens = 0;
  const auto start = std::chrono::steady_clock::now();
  do {
    const step_report r = t.step();
    look.prefix += static_cast<float>(r.prefix);
    look.continuation += static_cast<float>(r.continuation);
    look.balance += static_cast<float>(r.balance);
    tokens += static_cast<double>(r.tokens);
    ++steps;
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    char text[80];
    std::snprintf(text, sizeof text, "loss %.3f, %.0f tokens/s", r.continuation, tokens / seconds);
    shown.add(1, text);
  } while (!t.done() && t.state().step % o.save_every != 0);
  look.step = t.state().step;
  for (float* x : {&look.prefix, &look.continuation, &look.balance})
    *x /= static_cast<float>(steps);
  return look;
}

inline training_course train(const adapt_options& o, const std::string& run, trainer<float>& t,
                             std::ostream& out) {
  out << "    step   prefix  continuation  balance   (mean losses in nats)\n";
  const auto show = [&](const training_look& l) {
    char line[80];
    std::snprintf(line, sizeof line, "%8zu  %7.4f  %12.4f  %7.3f\n", l.step,
                  static_cast<double>(l.prefix), static_cast<double>(l.continuation),
                  static_cast<double>(l.balance));
    out << line << std::flush;
  };
  training_course course;
  if (!o.state.empty() && std::filesystem::exists(o.state)) {
    saved_training saved = load_training(
        o.state, run, {t.state().parameters.size(), o.training.rhos.size(), o.training.steps});
    t.resume(std::move(saved.state));
    course = std::move(saved.course);
    for (const training_look& l : course) show(l);
  }
  progress shown("adapt", static_cast<double>(o.training.steps));
  shown.add(static_cast<double>(t.state().step), "adapt");
  while (!t.done()) {
    course.push_back(run_to_look(t, o, shown));
    shown.clear();
    show(course.back());
    if (!o.state.empty()) save_training(t.state(), course, run, o.state);
  }
  return course;
}

inline nlohmann::ordered_json course_json(const training_course& course, const std::string& run) {
  nlohmann::ordered_json out = {{"run", run}, {"looks", nlohmann::ordered_json::array()}};
  for (const training_look& l : course)
    out["looks"].push_back({{"step", l.step},
                            {"prefix", l.prefix},
                            {"continuation", l.continuation},
                            {"balance", l.balance}});
  return out;
}

/// Places for results, tried before the work whose result they take.
inline void check_outputs(const adapt_options& o) {
  std::error_code problem;
  std::filesystem::create_directories(o.out, problem);
  if (problem) fail(o.out, "cannot be made: " + problem.message());
  for (const std::string& path :
       {o.out + "/value_routing.safetensors", o.out + "/adapter_model.safetensors", o.state})
    if (!path.empty()) const atomic_file tried(path, readers::as_usual);
  if (!o.json.empty()) check_writable(o.json);
}

/// One run from its options to its files.
class adaptation {
 public:
  explicit adaptation(const adapt_options& o)
      : options_((check_outputs(o), o)),
        text_(tokenizer::load(o.model)),
        texts_(o, text_),
        base_(prepare_base(o, texts_)),
        layout_((check_groups(o, base_.lm->config()), base_.lm->config()), o.setting),
        fixed_(order_by_energy(base_.moments, o.setting.group_width)),
        trainer_(*base_.lm, layout_, fixed_, o.training,
                 [this](std::size_t number) { return texts_.training(number, options_.lengths); }) {
    trainer_.start(initial_parameters<float>(layout_, base_.moments, o.training.seed));
  }
  adaptation(const adaptation&) = delete;
  adaptation& operator=(const adaptation&) = delete;

  std::string name() const { return describe_run(options_, model_identity(*base_.lm)); }
  const parameter_layout& layout() const { return layout_; }

  /// Trains to the end, from where the state file stands if there is one, and writes the files.
  void run(std::ostream& out) {
    const training_course course = train(options_, name(), trainer_, out);
    values_ = routing_of(options_, layout_, fixed_, base_.basis, trainer_.state().parameters);
    const model_config& c = base_.lm->config();
    values_.routing.thresholds =
        calibrate_spans(options_, trainer_, texts_, options_.setting.groups_of(c));
    values_.run = run_number();
    values_.adapted = layout_.setting().lora.rank > 0;
    save_value_routing(values_, c, options_.out + "/value_routing.safetensors");
    if (values_.adapted)
      save_adapters(adapters_of(layout_, base_.basis, trainer_.state().parameters), options_.model,
                    options_.out, values_.run);
    else
      remove_adapters(options_.out);  // of an earlier run
    if (!options_.json.empty())
      write_file(options_.json, course_json(course, name()).dump(1) + "\n");
  }

  /// The mean loss of the tokens from ids[first] on, where they and the token before them read
  /// those before that with a share rho of the groups: masked instead of packed. After run().
  double masked_loss(std::span<const token_id> ids, std::size_t first, double rho) const {
    const double after =
        masked_sum(ids, first - 1, rho) - masked_sum(ids.first(first), first - 1, rho);
    return after / static_cast<double>(ids.size() - first);
  }

 private:
  static void check_groups(const adapt_options& o, const model_config& c) {
    if (c.head_dim % o.setting.group_width != 0 || o.setting.groups_of(c) > rota::max_groups)
      fail("--group-width",
           "does not cut heads of " + std::to_string(c.head_dim) + " into 1 to 16 groups");
  }

  /// What tells the files of this run from those of others.
  std::string run_number() const {
    rota::fingerprint f;
    f.add(name());
    for (const float x : trainer_.state().parameters) f.add(x);
    return hexadecimal(f.value());
  }

  /// The sum of the losses of all that comes after the prefix.
  double masked_sum(std::span<const token_id> ids, std::size_t prefix, double rho) const {
    training_sequence<float> s{ids, prefix, {rho, 0}};
    for (const span_threshold& t : values_.routing.thresholds)
      if (std::abs(t.rho - rho) < 1e-6)
        s.budget.threshold =
            options_.setting.groups == group_rule::entropy_span ? -t.threshold : t.threshold;
    return trainer_.model_of()
        .run(trainer_.state().parameters, s, {}, 0, {}, [](std::size_t, const auto&) {})
        .continuation;
  }

  adapt_options options_;
  tokenizer text_;
  adaptation_texts texts_;
  based_model base_;
  parameter_layout layout_;
  group_order fixed_;
  trainer<float> trainer_;
  routed_values values_;
};

inline void adapt(const adapt_options& o, std::ostream& out) {
  adaptation a(o);
  a.run(out);
  out << o.out << ": " << a.layout().size() << " numbers trained\n";
  if (!out.flush()) fail("the table", "cannot be written");
}

}  // namespace rota_lm

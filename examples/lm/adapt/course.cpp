#include "adapt/course.hpp"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <utility>

#include <nlohmann/json.hpp>

#include "engine/progress.hpp"
#include "engine/value_routing_file.hpp"

namespace rota_lm {

std::string describe_run(const adapt_options& o, const std::string& identity) {
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

namespace {

/// Steps to the next multiple of save_every, or to the end.
training_look run_to_look(trainer<float>& t, const adapt_options& o, progress& shown) {
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

}  // namespace

training_course train(const adapt_options& o, const std::string& run, trainer<float>& t,
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

std::string course_json(const training_course& course, const std::string& run) {
  nlohmann::ordered_json out = {{"run", run}, {"looks", nlohmann::ordered_json::array()}};
  for (const training_look& l : course)
    out["looks"].push_back({{"step", l.step},
                            {"prefix", l.prefix},
                            {"continuation", l.continuation},
                            {"balance", l.balance}});
  return out.dump(1) + "\n";
}

}  // namespace rota_lm

// adapt, but for the command line and the exit code.
#pragma once

#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "adapt/options.hpp"
#include "adapt/start.hpp"
#include "adapt/state_file.hpp"
#include "engine/adapter_file.hpp"
#include "engine/model_tag.hpp"
#include "engine/progress.hpp"
#include "engine/text_file.hpp"
#include "engine/value_basis.hpp"

namespace rota_lm {

/// Training texts and those that calibrate, which are others of the same split.
class adaptation_texts {
 public:
  adaptation_texts(const adapt_options& o, const tokenizer& text)
      : seed_(o.training.seed), source_(open(o, text)) {}

  cut_ids training(std::size_t number, const sequence_lengths& l) const {
    return make((seed_ + 1) * 100'000'000 + number, l);
  }
  /// The same whatever the run's seed.
  cut_ids calibration(std::size_t number, const sequence_lengths& l) const {
    return make(number, l);
  }

 private:
  using source = std::variant<generated_sequences, file_sequences>;

  static source open(const adapt_options& o, const tokenizer& text) {
    if (o.text.empty()) return generated_sequences(synth::task::market, synth::split::train, text);
    const sequence_lengths& longest = o.lengths.all() > o.spans.all() ? o.lengths : o.spans;
    return file_sequences(o.text, text, longest);
  }
  cut_ids make(std::size_t number, const sequence_lengths& l) const {
    return std::visit([&](const auto& s) { return s.make(number, l); }, source_);
  }

  std::uint64_t seed_;
  source source_;
};

/// A base model whose values lie in the basis that was asked for.
struct based_model {
  std::unique_ptr<model> lm;
  value_basis basis;
  value_moments moments;
};

inline value_basis make_basis(basis_kind kind, const model_config& c, const value_moments& moments,
                              std::uint64_t seed) {
  value_basis out;
  if (kind == basis_kind::identity) return out;
  const std::size_t square = c.head_dim * c.head_dim;
  out.numbers.resize(c.layers * c.kv_heads * square);
  const auto d = static_cast<rota::index_t>(c.head_dim);
  for (std::size_t i = 0; i < moments.size(); ++i) {
    const rota::view<float, 3> r(out.numbers.data() + i * square, 1, d, d);
    rota::status s;
    if (kind == basis_kind::hadamard) s = rota::hadamard_basis(r);
    if (kind == basis_kind::random) s = rota::cpu::random_basis(seed * 1000 + i, r);
    if (kind == basis_kind::pca)
      s = rota::cpu::pca_basis(rota::view<const double, 3>(moments[i].data(), 1, d, d), r);
    require(s, "--basis");
  }
  return out;
}

inline based_model prepare_base(const adapt_options& o, const adaptation_texts& texts) {
  std::vector<std::vector<token_id>> calibration;
  for (std::size_t i = 0; i < o.calibration; ++i)
    calibration.push_back(texts.calibration(i, o.lengths).ids);
  based_model out;
  model_config config = load_config(o.model);
  model_weights weights = load_weights(checkpoint(o.model), config);
  out.lm = std::make_unique<model>(config, std::move(weights));
  out.moments = gather_moments(*out.lm, calibration);
  out.basis = make_basis(o.basis, config, out.moments, o.training.seed);
  if (out.basis.identity()) return out;
  out.lm = std::make_unique<model>(config, fold(out.lm->weights(), config, out.basis));
  out.moments = gather_moments(*out.lm, calibration);
  return out;
}

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
    saved_training saved =
        load_training(o.state, run, t.state().parameters.size(), o.training.rhos.size());
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

/// Thresholds that keep rho of the groups of calibration texts, over all layers together.
inline std::vector<span_threshold> calibrate_spans(const adapt_options& o, const trainer<float>& t,
                                                   const adaptation_texts& texts) {
  std::vector<span_threshold> out;
  if (o.setting.groups != group_rule::adaptive_span) return out;
  std::vector<std::vector<float>> logits(o.calibration);
  in_parallel(o.training.threads, o.calibration, [&](std::size_t i) {
    const cut_ids cut = texts.calibration(o.calibration + i, o.spans);
    const training_sequence<float> s{cut.ids, cut.prefix, {}};
    static_cast<void>(
        t.model_of().run(t.state().parameters, s, {}, 0, {}, [&](std::size_t, const auto& layer) {
          const Eigen::Index last =
              layer.router_logits.rows() - static_cast<Eigen::Index>(o.setting.window);
          for (auto j = static_cast<Eigen::Index>(o.setting.sinks); j < last; ++j)
            for (const float z : layer.router_logits.row(j)) logits[i].push_back(z);
        }));
  });
  std::vector<float> all;
  for (const auto& part : logits) all.insert(all.end(), part.begin(), part.end());
  for (const double rho : o.training.rhos)
    if (rho < 1) out.push_back({rho, trainer<float>::threshold_for(all, rho)});
  return out;
}

/// The routing part of what was trained.
inline routed_values routing_of(const adapt_options& o, const parameter_layout& layout,
                                const group_order& fixed, const value_basis& basis,
                                std::span<const float> parameters) {
  const model_config& c = layout.config();
  routed_values out;
  out.basis = basis;
  value_routing& v = out.routing;
  const adapter_setting& s = o.setting;
  v.rule = s.groups;
  v.form = s.router;
  v.fill = s.groups == group_rule::all ? fill_kind::zero : s.fill;
  v.group_width = s.group_width;
  v.fill_rank = layout.has_codec() ? s.fill_rank : 0;
  v.sinks = s.sinks;
  v.window = s.window;
  const auto copy = [](const auto& w) {
    std::size_t n = 1;
    for (const rota::index_t e : w.extent) n *= static_cast<std::size_t>(e);
    return std::vector<float>(w.data, w.data + n);
  };
  for (std::size_t l = 0; l < c.layers; ++l) {
    layer_routing layer;
    if (is_learned(s.groups)) {
      layer.router_weight = copy(layout.router_weight(l, parameters.data()));
      layer.router_bias = copy(layout.router_bias(l, parameters.data()));
    }
    if (layout.has_codec()) {
      layer.encode = copy(layout.encode(l, parameters.data()));
      layer.decode = copy(layout.decode(l, parameters.data()));
    }
    for (std::size_t h = 0; h < c.kv_heads && s.groups == group_rule::fixed_groups; ++h) {
      const std::vector<int>& order = fixed[l * c.kv_heads + h];
      layer.order.insert(layer.order.end(), order.begin(), order.end());
    }
    v.layers.push_back(std::move(layer));
  }
  return out;
}

/// The adapters of what was trained, for the model as its files have it.
inline lora_adapters adapters_of(const parameter_layout& layout, const value_basis& basis,
                                 std::span<const float> parameters) {
  lora_adapters::map_type out;
  for (std::size_t l = 0; l < layout.config().layers; ++l)
    for (const target t : layout.setting().targets) {
      if (!layout.has(l, t)) continue;
      const lora_shape shape = layout.lora(t);
      const float* at = layout.adapter(l, t, parameters.data()).down.data;
      out.emplace(std::pair(l, t), adapter_weights{shape, {at, at + shape.parameters()}});
    }
  return fold(lora_adapters(std::move(out)), layout.config(), basis, true);
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

inline void adapt(const adapt_options& o, std::ostream& out) {
  check_outputs(o);
  const tokenizer text = tokenizer::load(o.model);
  const adaptation_texts texts(o, text);
  const based_model base = prepare_base(o, texts);
  const model_config& c = base.lm->config();
  if (c.head_dim % o.setting.group_width != 0 || o.setting.groups_of(c) > rota::max_groups)
    fail("--group-width",
         "does not cut heads of " + std::to_string(c.head_dim) + " into 1 to 16 groups");
  const parameter_layout layout(c, o.setting);
  const group_order fixed = order_by_energy(base.moments, o.setting.group_width);
  trainer<float> t(*base.lm, layout, fixed, o.training,
                   [&](std::size_t number) { return texts.training(number, o.lengths); });
  t.start(initial_parameters<float>(layout, base.moments, o.training.seed));
  const std::string run = describe_run(o, model_identity(*base.lm));
  const training_course course = train(o, run, t, out);
  routed_values values = routing_of(o, layout, fixed, base.basis, t.state().parameters);
  values.routing.thresholds = calibrate_spans(o, t, texts);
  save_value_routing(values, c, o.out + "/value_routing.safetensors");
  if (layout.setting().lora.rank > 0)
    save_adapters(adapters_of(layout, base.basis, t.state().parameters), o.model, o.out);
  if (!o.json.empty()) write_file(o.json, course_json(course, run).dump(1) + "\n");
  out << o.out << ": " << layout.size() << " numbers trained\n";
  if (!out.flush()) fail("the table", "cannot be written");
}

}  // namespace rota_lm

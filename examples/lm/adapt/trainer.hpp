// Training of adapters, routers and fills together, step by step.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <rota/train/adamw.hpp>
#include <rota/train/clip.hpp>
#include <rota/train/schedule.hpp>

#include "adapt/trainable.hpp"
#include "adapt/training_state.hpp"
#include "engine/error.hpp"
#include "engine/parallel.hpp"
#include "generator/prng.hpp"

namespace rota_lm {

struct training_options {
  std::size_t steps = 400;
  std::size_t batch = 4;  ///< sequences a step: gradients are added up over them
  double learning_rate = 5e-3;
  double lora_router_rate = 1, router_rate = 1, fill_rate = 1;  ///< times learning_rate
  std::size_t warmup = 20;
  double clip = 1;  ///< largest norm of a step's gradient
  rota::train::adamw optimizer{.learning_rate = 0, .beta2 = 0.95, .weight_decay = 0};
  loss_weights weights;
  std::vector<double> rhos = {1};  ///< of each sequence one, drawn
  std::uint64_t seed = 1;
  int threads = 2;
};

/// Mean losses of a step's tokens, in nats.
struct step_report {
  double prefix = 0, continuation = 0, balance = 0, gradient_norm = 0;
  std::size_t tokens = 0;
};

/// Tokens of a training sequence by its number, and how many of them are prefix.
struct cut_ids {
  std::vector<token_id> ids;
  std::size_t prefix = 0;
};
using sequence_source = std::function<cut_ids(std::size_t number)>;

/// Results do not depend on the number of threads. T is float; double to compare with goldens.
template <class T>
class trainer {
 public:
  trainer(const model& base, const parameter_layout& layout, const group_order& fixed,
          training_options o, sequence_source source)
      : layout_(layout),
        model_(base, layout, fixed),
        options_(std::move(o)),
        source_(std::move(source)) {}

  const trainable_model<T>& model_of() const { return model_; }
  const training_state<T>& state() const { return state_; }
  bool done() const { return state_.step >= options_.steps; }

  void start(std::vector<T> parameters) {
    state_ = {};
    state_.first_moment.resize(parameters.size());
    state_.second_moment.resize(parameters.size());
    state_.parameters = std::move(parameters);
  }
  /// Goes on from where another trainer of the same run stood.
  void resume(training_state<T> s) { state_ = std::move(s); }

  /// One step of AdamW. Throws, the state untouched, where a loss or gradient is not finite.
  step_report step() {
    std::vector<item> items(options_.batch);
    for (std::size_t i = 0; i < items.size(); ++i) {
      items[i].cut = source_(state_.step * options_.batch + i);
      items[i].rho = drawn(i);
    }
    if (needs_thresholds() && state_.thresholds.empty()) first_thresholds(items);
    std::vector<T> gradient(state_.parameters.size());
    const step_report report = run(items, gradient);
    update(gradient);
    if (needs_thresholds()) follow_thresholds(items);
    return report;
  }

 private:
  struct item {
    cut_ids cut;
    std::size_t rho = 0;        ///< place in options_.rhos
    std::vector<float> levels;  ///< what thresholds cut, of the tokens that are decided about
    sequence_loss loss;
  };

  bool needs_thresholds() const { return is_calibrated(layout_.setting().groups); }

  /// Which rho an item of this step has: follows from seed, step and place.
  std::size_t drawn(std::size_t i) const {
    synth::prng random(synth::prng::mix(options_.seed * 0x9e3779b97f4a7c15ULL + state_.step) + i);
    return random.below(options_.rhos.size());
  }

  training_sequence<T> sequence_of(const item& it) const {
    training_sequence<T> s{it.cut.ids, it.cut.prefix, {options_.rhos[it.rho], 0}};
    if (!state_.thresholds.empty()) s.budget.threshold = state_.thresholds[it.rho];
    return s;
  }

  auto gather_into(item& it) const {
    return [this, &it](std::size_t, const auto& layer) {
      const adapter_setting& s = layout_.setting();
      if (needs_thresholds())
        add_levels(s, layer.router_logits, s.groups_of(layout_.config()), it.levels);
    };
  }

  /// As many sequences at a time as there are threads; their gradients are added in order.
  step_report run(std::vector<item>& items, std::vector<T>& gradient) const {
    std::size_t predicted = 0;
    for (const item& it : items) predicted += it.cut.ids.size() - 1;
    const auto at_once = static_cast<std::size_t>(options_.threads);
    std::vector<std::vector<T>> parts(std::min(at_once, items.size()));
    for (std::size_t first = 0; first < items.size(); first += at_once) {
      const std::size_t count = std::min(at_once, items.size() - first);
      in_parallel(options_.threads, count, [&](std::size_t i) {
        item& it = items[first + i];
        parts[i].assign(gradient.size(), 0);
        it.loss = model_.run(state_.parameters, sequence_of(it), options_.weights,
                             1 / static_cast<double>(predicted), parts[i], gather_into(it));
      });
      for (std::size_t i = 0; i < count; ++i)
        for (std::size_t k = 0; k < gradient.size(); ++k) gradient[k] += parts[i][k];
    }
    step_report report = summary(items);
    check_finite(report, gradient);
    report.gradient_norm = rota::train::clip_norm<T>(gradient, options_.clip);
    return report;
  }

  static step_report summary(const std::vector<item>& items) {
    step_report r;
    double inside = 0, after = 0;
    for (const item& it : items) {
      r.prefix += it.loss.prefix;
      r.continuation += it.loss.continuation;
      r.balance += it.loss.balance / static_cast<double>(items.size());
      inside += static_cast<double>(it.loss.prefix_tokens);
      after += static_cast<double>(it.loss.continuation_tokens);
      r.tokens += it.cut.ids.size();
    }
    r.prefix /= std::max(inside, 1.0);
    r.continuation /= std::max(after, 1.0);
    return r;
  }

  /// Names the step, and the first tensor whose gradient is not finite.
  void check_finite(const step_report& r, const std::vector<T>& gradient) const {
    std::string where;
    for (const parameter_layout::tensor& t : layout_.tensors()) {
      const auto begin = gradient.begin() + static_cast<std::ptrdiff_t>(t.first);
      if (std::all_of(begin, begin + static_cast<std::ptrdiff_t>(t.size()),
                      [](T g) { return std::isfinite(g); }))
        continue;
      where = t.name;
      break;
    }
    if (where.empty() && std::isfinite(r.prefix + r.continuation + r.balance)) return;
    fail("training", "step " + std::to_string(state_.step + 1) + ": " +
                         (where.empty() ? std::string("the loss") : "the gradient of " + where) +
                         " is not finite; take less with --learning-rate");
  }

  void update(const std::vector<T>& gradient) {
    const rota::train::warmup_cosine course{static_cast<rota::index_t>(options_.warmup),
                                            static_cast<rota::index_t>(options_.steps), 0};
    ++state_.step;
    const auto step = static_cast<rota::index_t>(state_.step);
    for (const parameter_layout::tensor& t : layout_.tensors()) {
      rota::train::adamw o = options_.optimizer;
      o.learning_rate = options_.learning_rate * rate_of(t.kind) * course(step);
      const auto part = [&](std::vector<T>& all) {
        return std::span(all).subspan(t.first, t.size());
      };
      rota::train::adamw_step<T>(o, step, std::span(gradient).subspan(t.first, t.size()),
                                 part(state_.first_moment), part(state_.second_moment),
                                 part(state_.parameters));
    }
  }

  double rate_of(parameter_kind k) const {
    switch (k) {
      case parameter_kind::lora:
        return 1;
      case parameter_kind::lora_router:
        return options_.lora_router_rate;
      case parameter_kind::value_router:
        return options_.router_rate;
      default:
        return options_.fill_rate;
    }
  }

  /// The thresholds that keep a share of rho of these items' groups, over all layers together.
  std::vector<T> thresholds_of(const std::vector<item>& items) const {
    std::vector<float> all;
    for (const item& it : items) all.insert(all.end(), it.levels.begin(), it.levels.end());
    std::vector<T> out;
    for (const double rho : options_.rhos) out.push_back(static_cast<T>(threshold_for(all, rho)));
    return out;
  }

  /// A prefix's logits do not depend on what later tokens read of it, so a pass with any
  /// threshold has them all.
  void first_thresholds(std::vector<item>& items) {
    state_.thresholds.assign(options_.rhos.size(), 0);
    in_parallel(options_.threads, items.size(), [&](std::size_t i) {
      items[i].levels.clear();
      static_cast<void>(model_.run(state_.parameters, sequence_of(items[i]), options_.weights, 0,
                                   {}, gather_into(items[i])));
    });
    state_.thresholds = thresholds_of(items);
    for (item& it : items) it.levels.clear();
  }

  /// Thresholds drift behind the routers that they cut.
  void follow_thresholds(const std::vector<item>& items) {
    const std::vector<T> now = thresholds_of(items);
    for (std::size_t i = 0; i < now.size(); ++i)
      state_.thresholds[i] += static_cast<T>(0.2) * (now[i] - state_.thresholds[i]);
  }

 public:
  /// The rho-th largest of some numbers: as many reach it as rho says. `all` is reordered.
  static float threshold_for(std::vector<float>& all, double rho) {
    const auto kept = static_cast<std::size_t>(std::lround(rho * static_cast<double>(all.size())));
    if (kept == 0 || all.empty()) return std::numeric_limits<float>::max();
    const auto place = all.begin() + static_cast<std::ptrdiff_t>(kept - 1);
    std::nth_element(all.begin(), place, all.end(), std::greater<>());
    return *place;
  }

 private:
  const parameter_layout& layout_;
  trainable_model<T> model_;
  training_options options_;
  sequence_source source_;
  training_state<T> state_;
};

}  // namespace rota_lm

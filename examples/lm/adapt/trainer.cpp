#include "adapt/trainer.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include <rota/train/clip.hpp>
#include <rota/train/schedule.hpp>

#include "engine/error.hpp"
#include "engine/parallel.hpp"
#include "generator/prng.hpp"

namespace rota_lm {

template <class T>
trainer<T>::trainer(const model& base, const parameter_layout& layout, const group_order& fixed,
                    training_options o, sequence_source source)
    : layout_(layout),
      model_(base, layout, fixed),
      options_(std::move(o)),
      source_(std::move(source)) {}

template <class T>
void trainer<T>::start(std::vector<T> parameters) {
  state_ = {};
  state_.first_moment.resize(parameters.size());
  state_.second_moment.resize(parameters.size());
  state_.parameters = std::move(parameters);
}

template <class T>
step_report trainer<T>::step() {
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

template <class T>
bool trainer<T>::needs_thresholds() const {
  return is_calibrated(layout_.setting().groups);
}

/// Which rho an item of this step has: follows from seed, step and place.
template <class T>
std::size_t trainer<T>::drawn(std::size_t i) const {
  synth::prng random(synth::prng::mix(options_.seed * 0x9e3779b97f4a7c15ULL + state_.step) + i);
  return random.below(options_.rhos.size());
}

template <class T>
training_sequence<T> trainer<T>::sequence_of(const item& it) const {
  training_sequence<T> s{it.cut.ids, it.cut.prefix, {options_.rhos[it.rho], 0}};
  if (!state_.thresholds.empty()) s.budget.threshold = state_.thresholds[it.rho];
  return s;
}

template <class T>
auto trainer<T>::gather_into(item& it) const -> typename trainable_model<T>::layer_look {
  return [this, &it](std::size_t, const auto& layer) {
    const adapter_setting& s = layout_.setting();
    if (needs_thresholds())
      add_levels(s, layer.router_logits, s.groups_of(layout_.config()), it.levels);
  };
}

/// As many sequences at a time as there are threads; their gradients are added in order.
template <class T>
step_report trainer<T>::run(std::vector<item>& items, std::vector<T>& gradient) const {
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

template <class T>
step_report trainer<T>::summary(const std::vector<item>& items) {
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
template <class T>
void trainer<T>::check_finite(const step_report& r, const std::vector<T>& gradient) const {
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

template <class T>
void trainer<T>::update(const std::vector<T>& gradient) {
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

template <class T>
double trainer<T>::rate_of(parameter_kind k) const {
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
template <class T>
std::vector<T> trainer<T>::thresholds_of(const std::vector<item>& items) const {
  std::vector<float> all;
  for (const item& it : items) all.insert(all.end(), it.levels.begin(), it.levels.end());
  std::vector<T> out;
  for (const double rho : options_.rhos) out.push_back(static_cast<T>(threshold_for(all, rho)));
  return out;
}

/// A prefix's logits do not depend on what later tokens read of it, so a pass with any
/// threshold has them all.
template <class T>
void trainer<T>::first_thresholds(std::vector<item>& items) {
  state_.thresholds.assign(options_.rhos.size(), 0);
  in_parallel(options_.threads, items.size(), [&](std::size_t i) {
    items[i].levels.clear();
    static_cast<void>(model_.run(state_.parameters, sequence_of(items[i]), options_.weights, 0, {},
                                 gather_into(items[i])));
  });
  state_.thresholds = thresholds_of(items);
  for (item& it : items) it.levels.clear();
}

/// Thresholds drift behind the routers that they cut.
template <class T>
void trainer<T>::follow_thresholds(const std::vector<item>& items) {
  const std::vector<T> now = thresholds_of(items);
  for (std::size_t i = 0; i < now.size(); ++i)
    state_.thresholds[i] += static_cast<T>(0.2) * (now[i] - state_.thresholds[i]);
}

template class trainer<float>;
template class trainer<double>;

}  // namespace rota_lm

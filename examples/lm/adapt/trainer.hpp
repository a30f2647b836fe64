// Training of adapters, routers and fills together, step by step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include <rota/train/adamw.hpp>

#include "adapt/trainable.hpp"
#include "adapt/training_state.hpp"

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
/// Refers to the base, the layout and the order.
template <class T>
class trainer {
 public:
  trainer(const model& base, const parameter_layout& layout, const group_order& fixed,
          training_options o, sequence_source source);

  const trainable_model<T>& model_of() const { return model_; }
  const training_state<T>& state() const { return state_; }
  bool done() const { return state_.step >= options_.steps; }

  void start(std::vector<T> parameters);
  /// Goes on from where another trainer of the same run stood.
  void resume(training_state<T> s) { state_ = std::move(s); }

  /// One step of AdamW. Throws, the state untouched, where a loss or gradient is not finite.
  step_report step();

 private:
  struct item {
    cut_ids cut;
    std::size_t rho = 0;        ///< place in options_.rhos
    std::vector<float> levels;  ///< what thresholds cut, of the tokens that are decided about
    sequence_loss loss;
  };

  bool needs_thresholds() const;
  std::size_t drawn(std::size_t i) const;
  training_sequence<T> sequence_of(const item& it) const;
  typename trainable_model<T>::layer_look gather_into(item& it) const;

  step_report run(std::vector<item>& items, std::vector<T>& gradient) const;
  static step_report summary(const std::vector<item>& items);
  void check_finite(const step_report& r, const std::vector<T>& gradient) const;
  void update(const std::vector<T>& gradient);
  double rate_of(parameter_kind k) const;

  std::vector<T> thresholds_of(const std::vector<item>& items) const;
  void first_thresholds(std::vector<item>& items);
  void follow_thresholds(const std::vector<item>& items);

  const parameter_layout& layout_;
  trainable_model<T> model_;
  training_options options_;
  sequence_source source_;
  training_state<T> state_;
};

extern template class trainer<float>;
extern template class trainer<double>;

}  // namespace rota_lm

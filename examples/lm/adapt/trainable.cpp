#include "adapt/trainable.hpp"

#include <vector>

#include <rota/train/cross_entropy.hpp>

#include "adapt/trainable_layers.hpp"

namespace rota_lm {

namespace {

template <class T>
rota::cpu::train_matrix<T> embed(const frozen_matrix<T>& embedding, std::span<const token_id> ids) {
  const auto table = embedding.get();
  rota::cpu::train_matrix<T> x(static_cast<Eigen::Index>(ids.size()), table.cols());
  for (Eigen::Index i = 0; i < x.rows(); ++i)
    x.row(i) = table.row(ids[static_cast<std::size_t>(i)]);
  return x;
}

/// The losses, and the derivative of their weighted sum by x.
template <class T>
rota::cpu::train_matrix<T> read_out(const trainable_layers<T>& layers,
                                    const rota::cpu::train_matrix<T>& x,
                                    const training_sequence<T>& s, const loss_weights& weights,
                                    double unit, bool wanted, sequence_loss& loss) {
  using matrix = rota::cpu::train_matrix<T>;
  const frozen_weights<T>& w = layers.weights();
  norm_pass<T> p;
  const Eigen::Index n = x.rows() - 1;
  const matrix y = p.forward(x.topRows(n), w.final_norm, layers.config().norm_eps);
  matrix logits = y * w.head.get().transpose();
  for (Eigen::Index i = 0; i < n; ++i) {
    const bool inside = static_cast<std::size_t>(i) + 1 < s.prefix;
    const std::span<T> z(logits.row(i).data(), static_cast<std::size_t>(logits.cols()));
    const double l = rota::train::cross_entropy<T>(
        z, static_cast<std::size_t>(s.ids[static_cast<std::size_t>(i) + 1]),
        unit * (inside ? weights.prefix : weights.continuation), wanted ? z : std::span<T>());
    (inside ? loss.prefix : loss.continuation) += l;
    ++(inside ? loss.prefix_tokens : loss.continuation_tokens);
  }
  matrix dx = matrix::Zero(x.rows(), x.cols());
  if (!wanted) return dx;
  const matrix dy = logits * w.head.get();
  p.backward(w.final_norm, dy, dx);
  return dx;
}

double tokens(const sequence_loss& l) {
  return static_cast<double>(l.prefix_tokens + l.continuation_tokens);
}

template <class T>
double routed_adapters(const trainable_layers<T>& layers) {
  return static_cast<double>(layers.config().layers * layers.setting().targets.size());
}

template <class T>
void add_balance(const trainable_layers<T>& layers, const std::vector<layer_pass<T>>& passes,
                 sequence_loss& loss) {
  const adapter_setting& s = layers.setting();
  if (!s.lora.routed() || s.targets.empty()) return;
  for (const layer_pass<T>& p : passes)
    for (const auto& [t, adapter] : p.adapters)
      loss.balance += adapter.balance / routed_adapters(layers);
}

}  // namespace

template <class T>
trainable_model<T>::trainable_model(const model& base, const parameter_layout& layout,
                                    const group_order& fixed)
    : layers_(std::make_unique<trainable_layers<T>>(base, layout, fixed)) {}
template <class T>
trainable_model<T>::trainable_model(trainable_model&&) noexcept = default;
template <class T>
trainable_model<T>::~trainable_model() = default;

template <class T>
sequence_loss trainable_model<T>::run(std::span<const T> parameters, const training_sequence<T>& s,
                                      const loss_weights& weights, double unit,
                                      std::span<T> gradient, const layer_look& look) const {
  const rotary_angles<T> at = layers_->angles_of(s.ids.size());
  matrix x = embed(layers_->weights().embedding, s.ids);
  std::vector<layer_pass<T>> passes(layers_->config().layers);
  for (std::size_t l = 0; l < passes.size(); ++l) {
    layers_->forward(l, parameters, s, at, x, passes[l]);
    if (look) look(l, layer_view{passes[l].prefix_input, passes[l].prefix_v, passes[l].logits});
  }
  sequence_loss loss;
  matrix dx = read_out(*layers_, x, s, weights, unit, !gradient.empty(), loss);
  add_balance(*layers_, passes, loss);
  if (gradient.empty()) return loss;
  const double balance =
      loss.balance == 0 ? 0 : weights.balance * unit * tokens(loss) / routed_adapters(*layers_);
  for (std::size_t l = passes.size(); l-- > 0;)
    layers_->backward(l, parameters, s, at, balance, passes[l], dx, gradient);
  return loss;
}

template class trainable_model<float>;
template class trainable_model<double>;

}  // namespace rota_lm

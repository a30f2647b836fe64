// The way back through a layer.
#include <utility>

#include <rota/train/rope.hpp>
#include <rota/train/swiglu.hpp>

#include "adapt/trainable_layers.hpp"

namespace rota_lm {

namespace {

template <class T>
std::span<const T> flat(const rota::cpu::train_matrix<T>& m) {
  return {m.data(), static_cast<std::size_t>(m.size())};
}
template <class T>
std::span<T> flat(rota::cpu::train_matrix<T>& m) {
  return {m.data(), static_cast<std::size_t>(m.size())};
}

template <class T>
rota::cpu::train_matrix<T> zeros(const rota::cpu::train_matrix<T>& like) {
  return rota::cpu::train_matrix<T>::Zero(like.rows(), like.cols());
}

/// One layer of one sequence.
template <class T>
struct layer_backward {
  using matrix = rota::cpu::train_matrix<T>;

  const trainable_layers<T>& layers;
  std::size_t layer;
  std::span<const T> parameters;
  double balance;
  const layer_pass<T>& p;
  std::span<T> gradient;

  /// By what a projection read; adds to dx.
  void project(target t, const matrix& x, const matrix& dy, matrix& dx) const {
    const frozen_layer<T>& w = layers.weights().layers[layer];
    dx.noalias() += dy * w.projections[static_cast<std::size_t>(t)].weight.get();
    const parameter_layout& layout = layers.layout();
    if (!layout.has(layer, t)) return;
    rota::cpu::lora_layer<T>(layout.lora(t))
        .backward(layout.adapter(layer, t, parameters.data()), x, p.adapters.at(t), dy, balance, dx,
                  layout.adapter(layer, t, gradient.data()));
  }

  void mlp(matrix& dx) const {
    matrix dactivated = zeros(p.activated), dgate(p.gate.rows(), p.gate.cols()), dup = dgate;
    project(target::down, p.activated, dx, dactivated);
    rota::train::swiglu_backward(flat(p.gate), flat(p.up), flat(std::as_const(dactivated)),
                                 flat(dgate), flat(dup));
    matrix dinput = zeros(p.mlp_input);
    project(target::gate, p.mlp_input, dgate, dinput);
    project(target::up, p.mlp_input, dup, dinput);
    p.mlp_norm.backward(layers.weights().layers[layer].mlp_norm, dinput, dx);
  }

  void stored_prefix(const matrix& dstored, matrix& dv, matrix& dinput) const {
    matrix dprefix = zeros(p.prefix_v), dmask;
    layers.fill().backward(p.prefix_v, layers.codec(layer, parameters.data()), p.fill, dstored,
                           dprefix, dmask, layers.codec(layer, gradient.data()));
    dv.topRows(dprefix.rows()) += dprefix;
    if (!is_learned(layers.setting().groups)) return;
    const parameter_layout& layout = layers.layout();
    const matrix dlogits = dmask.array() * p.mask.slopes.array();
    const matrix doutputs = layers.map_of_routers().outputs_slope(dlogits);
    rota::cpu::as_matrix(layout.router_weight(layer, gradient.data())).noalias() +=
        doutputs.transpose() * p.prefix_input;
    rota::cpu::as_row(layout.router_bias(layer, gradient.data())) += doutputs.colwise().sum();
    dinput.topRows(dprefix.rows()).noalias() +=
        doutputs * rota::cpu::as_matrix(layout.router_weight(layer, parameters.data()));
  }

  matrix heads_norm(const norm_pass<T>& norm, const std::vector<T>& gain, const matrix& dy) const {
    matrix dx = zeros(dy);
    norm.backward(gain, dy, dx);
    return dx;
  }

  void attention(std::size_t prefix, const rotary_angles<T>& at, matrix& dx) const {
    const model_config& c = layers.config();
    const frozen_layer<T>& w = layers.weights().layers[layer];
    matrix dmixed = zeros(p.mixed);
    project(target::o, p.mixed, dx, dmixed);
    matrix dq = zeros(p.q), dk = zeros(p.k), dv = zeros(p.v), dstored = zeros(p.stored);
    layers.attention(layer, prefix)
        .backward({p.q, p.k, p.v, p.stored}, p.attention, dmixed, {dq, dk, dv, dstored});
    const auto turn = [](auto cosine, auto sine, auto head) {
      rota::train::rope_backward<T>(cosine, sine, head);
    };
    at.rotate(dq, c.head_dim, turn);
    at.rotate(dk, c.head_dim, turn);
    if (c.qk_norm) {
      dq = heads_norm(p.q_norm, w.q_norm, dq);
      dk = heads_norm(p.k_norm, w.k_norm, dk);
    }
    matrix dinput = zeros(p.input);
    stored_prefix(dstored, dv, dinput);
    project(target::q, p.input, dq, dinput);
    project(target::k, p.input, dk, dinput);
    project(target::v, p.input, dv, dinput);
    p.attention_norm.backward(w.attention_norm, dinput, dx);
  }
};

}  // namespace

template <class T>
void trainable_layers<T>::backward(std::size_t layer, row parameters, const training_sequence<T>& s,
                                   const rotary_angles<T>& at, double balance,
                                   const layer_pass<T>& p, matrix& dx,
                                   std::span<T> gradient) const {
  const layer_backward<T> back{*this, layer, parameters, balance, p, gradient};
  back.mlp(dx);
  back.attention(s.prefix, at, dx);
}

template void trainable_layers<float>::backward(std::size_t, row, const training_sequence<float>&,
                                                const rotary_angles<float>&, double,
                                                const layer_pass<float>&, matrix&,
                                                std::span<float>) const;
template void trainable_layers<double>::backward(std::size_t, row, const training_sequence<double>&,
                                                 const rotary_angles<double>&, double,
                                                 const layer_pass<double>&, matrix&,
                                                 std::span<double>) const;

}  // namespace rota_lm

#include "adapt/trainable_layers.hpp"

#include <utility>

#include <rota/train/rope.hpp>
#include <rota/train/swiglu.hpp>

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

}  // namespace

template <class T>
trainable_layers<T>::trainable_layers(const model& base, const parameter_layout& layout,
                                      const group_order& fixed)
    : config_(base.config()),
      rotary_(base.rotary()),
      layout_(layout),
      setting_(layout.setting()),
      weights_(base.weights()),
      router_(base.config(), setting_, fixed),
      router_map_(setting_.router, config_.kv_heads, setting_.groups_of(config_)) {}

template <class T>
rotary_angles<T> trainable_layers<T>::angles_of(std::size_t tokens) const {
  const rope::table t = rotary_.angles(0, tokens);
  return {{t.cosine.begin(), t.cosine.end()}, {t.sine.begin(), t.sine.end()}};
}

template <class T>
auto trainable_layers<T>::project(std::size_t layer, target t, row parameters, const matrix& x,
                                  layer_pass<T>& p) const -> matrix {
  const frozen_linear<T>& f = weights_.layers[layer].projections[static_cast<std::size_t>(t)];
  matrix y = x * f.weight.get().transpose();
  if (f.bias.size() != 0) y.rowwise() += f.bias;
  if (layout_.has(layer, t))
    p.adapters[t] = rota::cpu::lora_layer<T>(layout_.lora(t))
                        .forward(layout_.adapter(layer, t, parameters.data()), x, y);
  return y;
}

template <class T>
rota::cpu::train_attention<T> trainable_layers<T>::attention(std::size_t layer,
                                                             std::size_t prefix) const {
  rota::cpu::train_attention<T> a;
  a.q_heads = static_cast<rota::index_t>(config_.q_heads);
  a.kv_heads = static_cast<rota::index_t>(config_.kv_heads);
  a.head_dim = static_cast<rota::index_t>(config_.head_dim);
  a.prefix = static_cast<rota::index_t>(prefix);
  a.sliding_window = static_cast<rota::index_t>(config_.sliding_window[layer]);
  return a;
}

template <class T>
rota::cpu::train_fill<T> trainable_layers<T>::fill() const {
  rota::cpu::train_fill<T> f;
  f.kind = setting_.groups == group_rule::all ? fill_kind::zero : setting_.fill;
  f.kv_heads = static_cast<rota::index_t>(config_.kv_heads);
  f.head_dim = static_cast<rota::index_t>(config_.head_dim);
  f.width = static_cast<rota::index_t>(setting_.group_width);
  f.rank = static_cast<rota::index_t>(setting_.fill_rank);
  return f;
}

template <class T>
void trainable_layers<T>::forward(std::size_t l, row parameters, const training_sequence<T>& s,
                                  const rotary_angles<T>& at, matrix& x, layer_pass<T>& p) const {
  const frozen_layer<T>& w = weights_.layers[l];
  const double eps = config_.norm_eps;
  p.input = p.attention_norm.forward(x, w.attention_norm, eps);
  p.q = project(l, target::q, parameters, p.input, p);
  p.k = project(l, target::k, parameters, p.input, p);
  p.v = project(l, target::v, parameters, p.input, p);
  if (config_.qk_norm) {
    p.q = p.q_norm.forward(p.q, w.q_norm, eps);
    p.k = p.k_norm.forward(p.k, w.k_norm, eps);
  }
  const auto turn = [](auto cosine, auto sine, auto head) {
    rota::train::rope<T>(cosine, sine, head);
  };
  at.rotate(p.q, config_.head_dim, turn);
  at.rotate(p.k, config_.head_dim, turn);
  store_prefix(l, parameters, s, p);
  p.attention = attention(l, s.prefix).forward({p.q, p.k, p.v, p.stored}, p.mixed);
  x += project(l, target::o, parameters, p.mixed, p);
  p.mlp_input = p.mlp_norm.forward(x, w.mlp_norm, eps);
  p.gate = project(l, target::gate, parameters, p.mlp_input, p);
  p.up = project(l, target::up, parameters, p.mlp_input, p);
  p.activated.resize(p.gate.rows(), p.gate.cols());
  rota::train::swiglu(flat(std::as_const(p.gate)), flat(std::as_const(p.up)), flat(p.activated));
  x += project(l, target::down, parameters, p.activated, p);
}

/// What later tokens read of the prefix.
template <class T>
void trainable_layers<T>::store_prefix(std::size_t l, row parameters, const training_sequence<T>& s,
                                       layer_pass<T>& p) const {
  const auto n = static_cast<Eigen::Index>(s.prefix);
  p.prefix_input = p.input.topRows(n);
  p.prefix_v = p.v.topRows(n);
  if (is_learned(setting_.groups)) {
    matrix outputs = p.prefix_input *
                     rota::cpu::as_matrix(layout_.router_weight(l, parameters.data())).transpose();
    outputs.rowwise() += rota::cpu::as_row(layout_.router_bias(l, parameters.data()));
    p.logits = router_map_.logits(outputs);
  }
  p.mask = router_.choose(l, s.budget, p.logits, p.prefix_v);
  p.fill = fill().forward(p.prefix_v, p.mask.kept, codec(l, parameters.data()), p.stored);
}

template class trainable_layers<float>;
template class trainable_layers<double>;

}  // namespace rota_lm

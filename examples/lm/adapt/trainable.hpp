// The forward pass of the engine's model with adapters and routed values, and the way back.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <rota/cpu/train/attention.hpp>
#include <rota/cpu/train/lora.hpp>
#include <rota/cpu/train/value_fill.hpp>
#include <rota/train/cross_entropy.hpp>
#include <rota/train/rms_norm.hpp>
#include <rota/train/rope.hpp>
#include <rota/train/swiglu.hpp>

#include "adapt/frozen.hpp"
#include "adapt/sequence.hpp"
#include "adapt/value_routing.hpp"
#include "engine/model.hpp"

namespace rota_lm {

/// Loss of a sequence and its gradient by all parameters of a layout. T is float to train, double
/// to check. Any number of threads may call at once.
template <class T>
class trainable_model {
 public:
  using matrix = rota::cpu::train_matrix<T>;

  /// Refers to all of them. `fixed`: of group_rule::fixed_groups; else empty.
  trainable_model(const model& base, const parameter_layout& layout, const group_order& fixed)
      : config_(base.config()),
        rotary_(base.rotary()),
        layout_(layout),
        setting_(layout.setting()),
        weights_(base.weights()),
        router_(base.config(), setting_, fixed),
        router_map_(setting_.router, config_.kv_heads, setting_.groups_of(config_)) {}

  /// What a caller may look at of one layer, prefix tokens only.
  struct layer_view {
    const matrix& input;          ///< [P, hidden], what the layer's projections and router read
    const matrix& v;              ///< [P, kv_heads * d]
    const matrix& router_logits;  ///< [P, kv_heads * S]; empty unless learned
  };

  /// `gradient` is added to, or empty. `unit`: what a token's loss is multiplied by. `look(layer,
  /// layer_view)` is called for each layer.
  template <class Look>
  sequence_loss run(std::span<const T> parameters, const training_sequence<T>& s,
                    const loss_weights& weights, double unit, std::span<T> gradient,
                    Look&& look) const {
    const angles at = angles_of(s.ids.size());
    matrix x = embed(s.ids);
    std::vector<layer_pass> passes(config_.layers);
    for (std::size_t l = 0; l < config_.layers; ++l) {
      forward(l, parameters, s, at, x, passes[l]);
      look(l, layer_view{passes[l].prefix_input, passes[l].prefix_v, passes[l].logits});
    }
    sequence_loss loss;
    matrix dx = read_out(x, s, weights, unit, !gradient.empty(), loss);
    add_balance(passes, loss);
    if (gradient.empty()) return loss;
    const double balance =
        loss.balance == 0 ? 0 : weights.balance * unit * tokens(loss) / routed_adapters();
    for (std::size_t l = config_.layers; l-- > 0;)
      backward(l, parameters, s, at, balance, passes[l], dx, gradient);
    return loss;
  }

 private:
  using lora_pass = typename rota::cpu::lora_layer<T>::pass;
  using attention_type = rota::cpu::train_attention<T>;
  using fill_type = rota::cpu::train_fill<T>;
  using row = std::span<const T>;

  struct angles {
    std::vector<T> cosine, sine;
  };

  /// RMSNorm of runs as wide as its gain, several to a row for a norm of heads.
  struct norm_pass {
    matrix x;
    std::vector<T> inverse;
  };

  struct layer_pass {
    norm_pass attention_norm, mlp_norm, q_norm, k_norm;
    matrix input, mlp_input;  ///< normed
    matrix q, k, v, mixed, gate, up, activated;
    matrix prefix_input, prefix_v, logits, stored;
    value_mask<T> mask;
    typename fill_type::pass fill;
    typename attention_type::pass attention;
    std::map<target, lora_pass> adapters;
  };

  static double tokens(const sequence_loss& l) {
    return static_cast<double>(l.prefix_tokens + l.continuation_tokens);
  }
  double routed_adapters() const {
    return static_cast<double>(config_.layers * setting_.targets.size());
  }

  angles angles_of(std::size_t n) const {
    const rope::table t = rotary_.angles(0, n);
    return {{t.cosine.begin(), t.cosine.end()}, {t.sine.begin(), t.sine.end()}};
  }

  matrix embed(std::span<const token_id> ids) const {
    const auto table = weights_.embedding.get();
    matrix x(static_cast<Eigen::Index>(ids.size()), table.cols());
    for (Eigen::Index i = 0; i < x.rows(); ++i)
      x.row(i) = table.row(ids[static_cast<std::size_t>(i)]);
    return x;
  }

  matrix norm(const matrix& x, const std::vector<T>& gain, norm_pass& p) const {
    p.x = x;
    matrix y(x.rows(), x.cols());
    const std::size_t width = gain.size();
    for (std::size_t i = 0; i < static_cast<std::size_t>(x.size()); i += width)
      p.inverse.push_back(rota::train::rms_norm<T>(row(x.data() + i, width), gain,
                                                   static_cast<T>(config_.norm_eps),
                                                   std::span(y.data() + i, width)));
    return y;
  }
  void norm_backward(const norm_pass& p, const std::vector<T>& gain, const matrix& dy,
                     matrix& dx) const {
    const std::size_t width = gain.size();
    for (std::size_t r = 0; r < p.inverse.size(); ++r)
      rota::train::rms_norm_backward<T>(row(p.x.data() + r * width, width), gain, p.inverse[r],
                                        row(dy.data() + r * width, width),
                                        std::span(dx.data() + r * width, width));
  }

  matrix project(std::size_t layer, target t, row parameters, const matrix& x,
                 layer_pass& p) const {
    const frozen_linear<T>& f = weights_.layers[layer].projections[static_cast<std::size_t>(t)];
    matrix y = x * f.weight.get().transpose();
    if (f.bias.size() != 0) y.rowwise() += f.bias;
    if (layout_.has(layer, t))
      p.adapters[t] = rota::cpu::lora_layer<T>(layout_.lora(t))
                          .forward(layout_.adapter(layer, t, parameters.data()), x, y);
    return y;
  }
  /// Adds to dx.
  void project_backward(std::size_t layer, target t, row parameters, const matrix& x,
                        const matrix& dy, double balance, const layer_pass& p, matrix& dx,
                        std::span<T> gradient) const {
    dx.noalias() +=
        dy * weights_.layers[layer].projections[static_cast<std::size_t>(t)].weight.get();
    if (!layout_.has(layer, t)) return;
    rota::cpu::lora_layer<T>(layout_.lora(t))
        .backward(layout_.adapter(layer, t, parameters.data()), x, p.adapters.at(t), dy, balance,
                  dx, layout_.adapter(layer, t, gradient.data()));
  }

  template <class Rotate>
  void rotate(const angles& at, matrix& heads, Rotate&& one) const {
    const std::size_t d = config_.head_dim, half = d / 2;
    for (Eigen::Index t = 0; t < heads.rows(); ++t)
      for (std::size_t i = 0; i < static_cast<std::size_t>(heads.cols()); i += d)
        one(row(at.cosine.data() + t * half, half), row(at.sine.data() + t * half, half),
            std::span(heads.row(t).data() + i, d));
  }

  attention_type attention_of(std::size_t layer, std::size_t prefix) const {
    attention_type a;
    a.q_heads = static_cast<rota::index_t>(config_.q_heads);
    a.kv_heads = static_cast<rota::index_t>(config_.kv_heads);
    a.head_dim = static_cast<rota::index_t>(config_.head_dim);
    a.prefix = static_cast<rota::index_t>(prefix);
    a.sliding_window = static_cast<rota::index_t>(config_.sliding_window[layer]);
    return a;
  }
  fill_type fill() const {
    fill_type f;
    f.kind = setting_.groups == group_rule::all ? fill_kind::zero : setting_.fill;
    f.kv_heads = static_cast<rota::index_t>(config_.kv_heads);
    f.head_dim = static_cast<rota::index_t>(config_.head_dim);
    f.width = static_cast<rota::index_t>(setting_.group_width);
    f.rank = static_cast<rota::index_t>(setting_.fill_rank);
    return f;
  }
  template <class U>
  typename fill_type::template codec<U> codec(std::size_t layer, U* all) const {
    return {layout_.encode(layer, all), layout_.decode(layer, all)};
  }

  void forward(std::size_t l, row parameters, const training_sequence<T>& s, const angles& at,
               matrix& x, layer_pass& p) const {
    const frozen_layer<T>& w = weights_.layers[l];
    p.input = norm(x, w.attention_norm, p.attention_norm);
    p.q = project(l, target::q, parameters, p.input, p);
    p.k = project(l, target::k, parameters, p.input, p);
    p.v = project(l, target::v, parameters, p.input, p);
    if (config_.qk_norm) {
      p.q = norm(p.q, w.q_norm, p.q_norm);
      p.k = norm(p.k, w.k_norm, p.k_norm);
    }
    rotate(at, p.q, rota::train::rope<T>);
    rotate(at, p.k, rota::train::rope<T>);
    store_prefix(l, parameters, s, p);
    p.attention = attention_of(l, s.prefix).forward({p.q, p.k, p.v, p.stored}, p.mixed);
    x += project(l, target::o, parameters, p.mixed, p);
    p.mlp_input = norm(x, w.mlp_norm, p.mlp_norm);
    p.gate = project(l, target::gate, parameters, p.mlp_input, p);
    p.up = project(l, target::up, parameters, p.mlp_input, p);
    p.activated.resize(p.gate.rows(), p.gate.cols());
    rota::train::swiglu(flat(std::as_const(p.gate)), flat(std::as_const(p.up)), flat(p.activated));
    x += project(l, target::down, parameters, p.activated, p);
  }

  static row flat(const matrix& m) { return {m.data(), static_cast<std::size_t>(m.size())}; }
  static std::span<T> flat(matrix& m) { return {m.data(), static_cast<std::size_t>(m.size())}; }

  /// What later tokens read of the prefix.
  void store_prefix(std::size_t l, row parameters, const training_sequence<T>& s,
                    layer_pass& p) const {
    const auto n = static_cast<Eigen::Index>(s.prefix);
    p.prefix_input = p.input.topRows(n);
    p.prefix_v = p.v.topRows(n);
    if (is_learned(setting_.groups)) {
      matrix outputs =
          p.prefix_input *
          rota::cpu::as_matrix(layout_.router_weight(l, parameters.data())).transpose();
      outputs.rowwise() += rota::cpu::as_row(layout_.router_bias(l, parameters.data()));
      p.logits = router_map_.logits(outputs);
    }
    p.mask = router_.choose(l, s.budget, p.logits, p.prefix_v);
    p.fill = fill().forward(p.prefix_v, p.mask.kept, codec(l, parameters.data()), p.stored);
  }

  void store_backward(std::size_t l, row parameters, const layer_pass& p, const matrix& dstored,
                      matrix& dv, matrix& dinput, std::span<T> gradient) const {
    matrix dprefix = matrix::Zero(p.prefix_v.rows(), p.prefix_v.cols()), dmask;
    fill().backward(p.prefix_v, codec(l, parameters.data()), p.fill, dstored, dprefix, dmask,
                    codec(l, gradient.data()));
    dv.topRows(dprefix.rows()) += dprefix;
    if (!is_learned(setting_.groups)) return;
    const matrix dlogits = dmask.array() * p.mask.slopes.array();
    const matrix doutputs = router_map_.outputs_slope(dlogits);
    rota::cpu::as_matrix(layout_.router_weight(l, gradient.data())).noalias() +=
        doutputs.transpose() * p.prefix_input;
    rota::cpu::as_row(layout_.router_bias(l, gradient.data())) += doutputs.colwise().sum();
    dinput.topRows(dprefix.rows()).noalias() +=
        doutputs * rota::cpu::as_matrix(layout_.router_weight(l, parameters.data()));
  }

  /// dx: by what the layer left in x; becomes that by what it found there.
  void backward(std::size_t l, row parameters, const training_sequence<T>& s, const angles& at,
                double balance, const layer_pass& p, matrix& dx, std::span<T> gradient) const {
    const frozen_layer<T>& w = weights_.layers[l];
    const auto back = [&](target t, const matrix& input, const matrix& dy, matrix& dinput) {
      project_backward(l, t, parameters, input, dy, balance, p, dinput, gradient);
    };
    const auto zeros = [](const matrix& like) -> matrix {
      return matrix::Zero(like.rows(), like.cols());
    };
    matrix dactivated = zeros(p.activated), dgate(p.gate.rows(), p.gate.cols()), dup = dgate;
    back(target::down, p.activated, dx, dactivated);
    rota::train::swiglu_backward(flat(p.gate), flat(p.up), flat(std::as_const(dactivated)),
                                 flat(dgate), flat(dup));
    matrix dinput = zeros(p.mlp_input);
    back(target::gate, p.mlp_input, dgate, dinput);
    back(target::up, p.mlp_input, dup, dinput);
    norm_backward(p.mlp_norm, w.mlp_norm, dinput, dx);

    matrix dmixed = zeros(p.mixed);
    back(target::o, p.mixed, dx, dmixed);
    matrix dq = zeros(p.q), dk = zeros(p.k), dv = zeros(p.v), dstored = zeros(p.stored);
    attention_of(l, s.prefix)
        .backward({p.q, p.k, p.v, p.stored}, p.attention, dmixed, {dq, dk, dv, dstored});
    rotate(at, dq, rota::train::rope_backward<T>);
    rotate(at, dk, rota::train::rope_backward<T>);
    if (config_.qk_norm) {
      dq = norm_slope(p.q_norm, w.q_norm, dq);
      dk = norm_slope(p.k_norm, w.k_norm, dk);
    }
    dinput.setZero();
    store_backward(l, parameters, p, dstored, dv, dinput, gradient);
    back(target::q, p.input, dq, dinput);
    back(target::k, p.input, dk, dinput);
    back(target::v, p.input, dv, dinput);
    norm_backward(p.attention_norm, w.attention_norm, dinput, dx);
  }

  matrix norm_slope(const norm_pass& p, const std::vector<T>& gain, const matrix& dy) const {
    matrix dx = matrix::Zero(dy.rows(), dy.cols());
    norm_backward(p, gain, dy, dx);
    return dx;
  }

  /// The losses, and the derivative of their weighted sum by x.
  matrix read_out(const matrix& x, const training_sequence<T>& s, const loss_weights& weights,
                  double unit, bool wanted, sequence_loss& loss) const {
    norm_pass p;
    const Eigen::Index n = x.rows() - 1;
    const matrix y = norm(x.topRows(n), weights_.final_norm, p);
    matrix logits = y * weights_.head.get().transpose();
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
    const matrix dy = logits * weights_.head.get();
    norm_backward(p, weights_.final_norm, dy, dx);
    return dx;
  }

  void add_balance(const std::vector<layer_pass>& passes, sequence_loss& loss) const {
    if (!setting_.lora.routed() || setting_.targets.empty()) return;
    for (const layer_pass& p : passes)
      for (const auto& [t, adapter] : p.adapters)
        loss.balance += adapter.balance / routed_adapters();
  }

  const model_config& config_;
  const rope& rotary_;
  const parameter_layout& layout_;
  const adapter_setting& setting_;
  frozen_weights<T> weights_;
  value_router<T> router_;
  router_map<T> router_map_;
};

}  // namespace rota_lm

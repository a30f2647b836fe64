// The layers of the engine's model with adapters and routed values: forward, and the way back.
#pragma once

#include <cstddef>
#include <span>

#include "adapt/frozen.hpp"
#include "adapt/layer_pass.hpp"
#include "adapt/parameters.hpp"
#include "adapt/sequence.hpp"
#include "adapt/value_routing.hpp"
#include "engine/model.hpp"

namespace rota_lm {

/// What trainable_model runs. Refers to all that it is made of. T is float or double.
template <class T>
class trainable_layers {
 public:
  using matrix = rota::cpu::train_matrix<T>;
  using row = std::span<const T>;

  trainable_layers(const model& base, const parameter_layout& layout, const group_order& fixed);

  const model_config& config() const { return config_; }
  const parameter_layout& layout() const { return layout_; }
  const adapter_setting& setting() const { return setting_; }
  const frozen_weights<T>& weights() const { return weights_; }
  const router_map<T>& map_of_routers() const { return router_map_; }
  rota::cpu::train_attention<T> attention(std::size_t layer, std::size_t prefix) const;
  rota::cpu::train_fill<T> fill() const;
  template <class U>
  typename rota::cpu::train_fill<T>::template codec<U> codec(std::size_t layer, U* all) const {
    return {layout_.encode(layer, all), layout_.decode(layer, all)};
  }

  rotary_angles<T> angles_of(std::size_t tokens) const;
  /// x [n, hidden] becomes what the layer makes of it.
  void forward(std::size_t layer, row parameters, const training_sequence<T>& s,
               const rotary_angles<T>& at, matrix& x, layer_pass<T>& p) const;
  /// dx: by what the layer left in x; becomes that by what it found there. Adds to `gradient`.
  /// `balance`: what an adapter's balance term counts for.
  void backward(std::size_t layer, row parameters, const training_sequence<T>& s,
                const rotary_angles<T>& at, double balance, const layer_pass<T>& p, matrix& dx,
                std::span<T> gradient) const;

 private:
  matrix project(std::size_t layer, target t, row parameters, const matrix& x,
                 layer_pass<T>& p) const;
  void store_prefix(std::size_t layer, row parameters, const training_sequence<T>& s,
                    layer_pass<T>& p) const;

  const model_config& config_;
  const rope& rotary_;
  const parameter_layout& layout_;
  const adapter_setting& setting_;
  frozen_weights<T> weights_;
  value_router<T> router_;
  router_map<T> router_map_;
};

extern template class trainable_layers<float>;
extern template class trainable_layers<double>;

}  // namespace rota_lm

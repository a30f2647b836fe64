// The forward pass of the engine's model with adapters and routed values, and the way back.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "adapt/parameters.hpp"
#include "adapt/sequence.hpp"
#include "adapt/value_routing.hpp"
#include "engine/model.hpp"

namespace rota_lm {

template <class T>
class trainable_layers;

/// Loss of a sequence and its gradient by all parameters of a layout. T is float to train, double
/// to check. Any number of threads may call at once.
template <class T>
class trainable_model {
 public:
  using matrix = rota::cpu::train_matrix<T>;

  /// Refers to all of them. `fixed`: of group_rule::fixed_groups; else empty.
  trainable_model(const model& base, const parameter_layout& layout, const group_order& fixed);
  trainable_model(trainable_model&&) noexcept;
  ~trainable_model();

  /// What a caller may look at of one layer, prefix tokens only.
  struct layer_view {
    const matrix& input;          ///< [P, hidden], what the layer's projections and router read
    const matrix& v;              ///< [P, kv_heads * d]
    const matrix& router_logits;  ///< [P, kv_heads * S]; empty unless learned
  };
  using layer_look = std::function<void(std::size_t layer, const layer_view&)>;

  /// `gradient` is added to, or empty. `unit`: what a token's loss is multiplied by. `look`, unless
  /// empty, is called for each layer.
  sequence_loss run(std::span<const T> parameters, const training_sequence<T>& s,
                    const loss_weights& weights, double unit, std::span<T> gradient,
                    const layer_look& look = {}) const;

 private:
  std::unique_ptr<const trainable_layers<T>> layers_;
};

extern template class trainable_model<float>;
extern template class trainable_model<double>;

}  // namespace rota_lm

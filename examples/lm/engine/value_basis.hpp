// A change of coordinates of every kv head's values, folded into a model's weights and into its
// adapters (rota/basis/fold.hpp).
#pragma once

#include <cstddef>
#include <vector>

#include <rota/core/view.hpp>

#include "engine/adapters.hpp"
#include "engine/weights.hpp"

namespace rota_lm {

struct model_config;

enum class basis_kind { identity, hadamard, random, pca };

/// R of every layer and kv head; empty: the identity.
struct value_basis {
  std::vector<float> numbers;  ///< [layers, kv_heads, d, d]

  bool identity() const { return numbers.empty(); }
  /// R of a layer, [kv_heads, d, d].
  rota::view<const float, 3> layer(const model_config& c, std::size_t i) const;
};

/// The weights of a model whose values have been turned; logits stay as they were, to rounding.
model_weights fold(model_weights w, const model_config& c, const value_basis& basis);

/// Adapters for the folded model of adapters for the model as it is; `back`: the other way.
lora_adapters fold(const lora_adapters& adapters, const model_config& c, const value_basis& basis,
                   bool back = false);

}  // namespace rota_lm

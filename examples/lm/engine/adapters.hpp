// LoRA adapters of a model, plain or routed, applied by Rota's operators.
#pragma once

#include <cstddef>
#include <map>
#include <utility>
#include <vector>

#include <rota/train/lora_shape.hpp>

#include "engine/projection_seam.hpp"

namespace rota_lm {

using rota::train::gate_kind;
using rota::train::lora_shape;

/// An adapter of one projection: its shape and rota::train::lora_shape::parameters() numbers, in
/// the order of rota::train::lora_views.
struct adapter_weights {
  lora_shape shape;
  std::vector<float> numbers;
};

/// Whether adapters of this shape can be applied: forms are compiled in, and so listed; an engine
/// lists those that its adapters have.
bool knows_lora_form(const lora_shape& s);

class lora_adapters final : public projection_adapters {
 public:
  using map_type = std::map<std::pair<std::size_t, target>, adapter_weights>;

  /// Throws where an adapter's form is not compiled in or its numbers do not fit its shape.
  explicit lora_adapters(map_type adapters);

  const map_type& adapters() const { return adapters_; }

  void add(std::size_t layer, target t, const matrix& x, matrix& y) const override;
  void describe(rota::fingerprint& f) const override;

 private:
  map_type adapters_;
};

}  // namespace rota_lm

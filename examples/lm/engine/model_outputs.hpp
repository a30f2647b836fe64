// What scorers read of a model's output projections: the weights as they lie, and Gram matrices of
// their slices, made once.
#pragma once

#include <cstddef>
#include <vector>

#include <rota/score/output_projection.hpp>

#include "engine/model.hpp"

namespace rota_lm {

/// Refers to the model.
class model_outputs {
 public:
  model_outputs(const model& lm, int group_width);
  model_outputs(model_outputs&&) noexcept = default;  // vectors keep their memory

  const rota::output_projection& projection(std::size_t layer) const {
    return projections_.at(layer);
  }
  const rota::output_gram& gram(std::size_t layer) const { return grams_.at(layer); }

 private:
  std::vector<rota::output_projection> projections_;
  std::vector<std::vector<float>> memory_;
  std::vector<rota::output_gram> grams_;
};

}  // namespace rota_lm

// What scorers read of a model's output projections: the weights as they lie, and Gram matrices of
// their slices, made once.
#pragma once

#include <cstddef>
#include <vector>

#include <rota/score/output_projection.hpp>

#include "engine/model.hpp"
#include "engine/rota_call.hpp"

namespace rota_lm {

/// Refers to the model.
class model_outputs {
 public:
  model_outputs(const model& lm, int group_width) {
    const model_config& c = lm.config();
    const auto heads = static_cast<rota::index_t>(c.kv_heads);
    const auto d = static_cast<rota::index_t>(c.head_dim), width = rota::index_t{group_width};
    for (const layer_weights& w : lm.weights().layers) {
      projections_.push_back({rota::view<const float, 3>(
          w.o.weight.data(), w.o.weight.rows(), static_cast<rota::index_t>(c.q_heads), d)});
      memory_.emplace_back(static_cast<std::size_t>(heads * d * width));
      const rota::view<float, 4> gram(memory_.back().data(), heads, d / width, width, width);
      require(rota::make_output_gram(projections_.back().weights, gram), "output projection");
      grams_.push_back({rota::view<const float, 4>(gram)});
    }
  }
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

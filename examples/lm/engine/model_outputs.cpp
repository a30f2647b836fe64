#include "engine/model_outputs.hpp"

#include "engine/rota_call.hpp"

namespace rota_lm {

model_outputs::model_outputs(const model& lm, int group_width) {
  const model_config& c = lm.config();
  const auto heads = static_cast<rota::index_t>(c.kv_heads);
  const auto d = static_cast<rota::index_t>(c.head_dim), width = rota::index_t{group_width};
  for (const layer_weights& w : lm.weights().layers) {
    projections_.push_back({rota::view<const float, 3>(w.o.weight.data(), w.o.weight.rows(),
                                                       static_cast<rota::index_t>(c.q_heads), d)});
    memory_.emplace_back(static_cast<std::size_t>(heads * d * width));
    const rota::view<float, 4> gram(memory_.back().data(), heads, d / width, width, width);
    require(rota::make_output_gram(projections_.back().weights, gram), "output projection");
    grams_.push_back({rota::view<const float, 4>(gram)});
  }
}

}  // namespace rota_lm

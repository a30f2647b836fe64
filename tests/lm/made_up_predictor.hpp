// A predictor for a micro checkpoint, with weights that are easily told apart.
#pragma once

#include "engine/model.hpp"
#include "engine/model_tag.hpp"
#include "engine/predictor_file.hpp"

namespace rota_lm_test {

inline rota_lm::fitted_predictor made_up_predictor(const rota_lm::model& lm, rota::index_t rank) {
  const rota_lm::model_config& c = lm.config();
  rota_lm::fitted_predictor p;
  p.split = 1;
  p.group_width = 8;
  p.window = 16;
  p.model = rota_lm::model_identity(lm);
  p.shape = {static_cast<rota::index_t>(c.layers - 1), static_cast<rota::index_t>(c.kv_heads),
             static_cast<rota::index_t>(c.head_dim / 8), static_cast<rota::index_t>(c.hidden_size),
             rank};
  for (rota::index_t i = 0; i < p.shape.parameters(); ++i) {
    p.parameters.push_back(0.01f * static_cast<float>((i * 37) % 101 - 50));
  }
  p.notes = {{"steps", "7"}};
  return p;
}

}  // namespace rota_lm_test

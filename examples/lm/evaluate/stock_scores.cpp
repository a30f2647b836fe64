#include "evaluate/stock_scores.hpp"

#include <algorithm>

#include "engine/model_outputs.hpp"

namespace rota_lm::eval {

stock_context with_outputs(const layer_context& c, rota::index_t queries,
                           const model_outputs* outputs, std::size_t layer) {
  stock_context out;
  static_cast<rota::window_queries&>(out) = c;
  static_cast<rota::query_moments&>(out) = c;
  static_cast<rota::rope_frequencies&>(out) = c;
  static_cast<rota::context_views<element>&>(out) = c;
  const rota::index_t dropped = std::max<rota::index_t>(0, out.queries.extent[0] - queries);
  out.queries.data += dropped * out.queries.stride[0];
  out.queries.extent[0] -= dropped;
  if (outputs == nullptr) return out;
  static_cast<rota::output_projection&>(out) = outputs->projection(layer);
  static_cast<rota::output_gram&>(out) = outputs->gram(layer);
  return out;
}

}  // namespace rota_lm::eval

#include "engine/value_basis.hpp"

#include <string>
#include <utility>

#include <rota/basis/fold.hpp>

#include "engine/config.hpp"
#include "engine/rota_call.hpp"

namespace rota_lm {

namespace {

rota::view<float, 2> rows_of(matrix& m) {
  return rota::view<float, 2>(m.data(), m.rows(), m.cols());
}

/// A run of numbers as `rows` rows.
rota::view<float, 2> rows_of(float* at, rota::index_t rows, rota::index_t columns) {
  return rota::view<float, 2>(at, rows, columns);
}

}  // namespace

rota::view<const float, 3> value_basis::layer(const model_config& c, std::size_t i) const {
  return {numbers.data() + i * c.kv_heads * c.head_dim * c.head_dim,
          {static_cast<rota::index_t>(c.kv_heads), static_cast<rota::index_t>(c.head_dim),
           static_cast<rota::index_t>(c.head_dim)},
          {static_cast<rota::index_t>(c.head_dim * c.head_dim),
           static_cast<rota::index_t>(c.head_dim), 1}};
}

model_weights fold(model_weights w, const model_config& c, const value_basis& basis) {
  for (std::size_t i = 0; i < w.layers.size() && !basis.identity(); ++i) {
    const auto r = basis.layer(c, i);
    layer_weights& l = w.layers[i];
    const std::string where = "layer " + std::to_string(i);
    require(rota::fold_columns(r, rows_of(l.v.weight)), where);
    if (l.v.bias.size() != 0)
      require(rota::fold_rows(r, rows_of(l.v.bias.data(), 1, l.v.bias.size())), where);
    require(rota::fold_rows(r, rows_of(l.o.weight)), where);
  }
  return w;
}

lora_adapters fold(const lora_adapters& adapters, const model_config& c, const value_basis& basis,
                   bool back) {
  lora_adapters::map_type out = adapters.adapters();
  for (auto& [place, a] : out) {
    if (basis.identity()) break;
    const auto r = basis.layer(c, place.first);
    float* const down = a.numbers.data();
    const rota::index_t rank = a.shape.rank;
    const std::string where = "layer " + std::to_string(place.first);
    if (place.second == target::o)
      require(rota::fold_rows(r, rows_of(down, rank, a.shape.in), back), where);
    if (place.second == target::o && a.shape.routed())
      require(
          rota::fold_rows(
              r, rows_of(down + rank * (a.shape.in + a.shape.out), a.shape.subspaces, a.shape.in),
              back),
          where);
    if (place.second == target::v)
      require(rota::fold_rows(r, rows_of(down + rank * a.shape.in, rank, a.shape.out), back),
              where);
  }
  return lora_adapters(std::move(out));
}

}  // namespace rota_lm

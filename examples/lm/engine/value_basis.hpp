// A change of coordinates of every kv head's values, folded into a model's weights and into its
// adapters (rota/basis/fold.hpp).
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <rota/basis/fold.hpp>
#include <rota/basis/hadamard.hpp>
#include <rota/cpu/basis.hpp>

#include "engine/adapters.hpp"
#include "engine/model.hpp"

namespace rota_lm {

enum class basis_kind { identity, hadamard, random, pca };

/// R of every layer and kv head; empty: the identity.
struct value_basis {
  std::vector<float> numbers;  ///< [layers, kv_heads, d, d]

  bool identity() const { return numbers.empty(); }
  rota::view<const float, 3> layer(const model_config& c, std::size_t i) const {
    return {numbers.data() + i * c.kv_heads * c.head_dim * c.head_dim,
            {static_cast<rota::index_t>(c.kv_heads), static_cast<rota::index_t>(c.head_dim),
             static_cast<rota::index_t>(c.head_dim)},
            {static_cast<rota::index_t>(c.head_dim * c.head_dim),
             static_cast<rota::index_t>(c.head_dim), 1}};
  }
};

namespace detail {

inline rota::view<float, 2> rows_of(matrix& m) {
  return rota::view<float, 2>(m.data(), m.rows(), m.cols());
}

/// A run of numbers as `rows` rows.
inline rota::view<float, 2> rows_of(float* at, rota::index_t rows, rota::index_t columns) {
  return rota::view<float, 2>(at, rows, columns);
}

}  // namespace detail

/// The weights of a model whose values have been turned; logits stay as they were, to rounding.
inline model_weights fold(model_weights w, const model_config& c, const value_basis& basis) {
  for (std::size_t i = 0; i < w.layers.size() && !basis.identity(); ++i) {
    const auto r = basis.layer(c, i);
    layer_weights& l = w.layers[i];
    const std::string where = "layer " + std::to_string(i);
    require(rota::fold_columns(r, detail::rows_of(l.v.weight)), where);
    if (l.v.bias.size() != 0)
      require(rota::fold_rows(r, detail::rows_of(l.v.bias.data(), 1, l.v.bias.size())), where);
    require(rota::fold_rows(r, detail::rows_of(l.o.weight)), where);
  }
  return w;
}

/// Adapters for the folded model of adapters for the model as it is; `back`: the other way.
inline lora_adapters fold(const lora_adapters& adapters, const model_config& c,
                          const value_basis& basis, bool back = false) {
  lora_adapters::map_type out = adapters.adapters();
  for (auto& [place, a] : out) {
    if (basis.identity()) break;
    const auto r = basis.layer(c, place.first);
    float* const down = a.numbers.data();
    const rota::index_t rank = a.shape.rank;
    const std::string where = "layer " + std::to_string(place.first);
    if (place.second == target::o)
      require(rota::fold_rows(r, detail::rows_of(down, rank, a.shape.in), back), where);
    if (place.second == target::o && a.shape.routed())
      require(rota::fold_rows(r,
                              detail::rows_of(down + rank * (a.shape.in + a.shape.out),
                                              a.shape.subspaces, a.shape.in),
                              back),
              where);
    if (place.second == target::v)
      require(
          rota::fold_rows(r, detail::rows_of(down + rank * a.shape.in, rank, a.shape.out), back),
          where);
  }
  return lora_adapters(std::move(out));
}

}  // namespace rota_lm

// What scorers may ask of a sequence beside the contexts of its layers.
#pragma once

#include <cstddef>
#include <vector>

#include <rota/core/element.hpp>
#include <rota/core/types.hpp>
#include <rota/core/view.hpp>

#include "evaluate/method.hpp"

namespace rota_lm {
struct fitted_predictor;
class model_outputs;
struct value_routing;
}  // namespace rota_lm

namespace rota_lm::eval {

using element = rota::bf16;

/// One layer's scores and the memory that they lie in.
template <int Rank>
struct scored {
  std::vector<float> memory;
  rota::view<float, Rank> view;

  template <class... Extents>
  explicit scored(Extents... extents)
      : memory(static_cast<std::size_t>((extents * ...))), view(memory.data(), extents...) {}
  scored(scored&&) noexcept = default;  // vectors keep their memory: the view stays valid
  scored(const scored&) = delete;
};

/// What is the same for all sequences; null where no method asks for it.
struct shared_extras {
  const fitted_predictor* predictor = nullptr;
  const model_outputs* outputs = nullptr;
  const value_routing* routing = nullptr;  ///< of an adapted model
};

class split_scores;

/// Refers to memory that must outlive it.
struct sequence_extras {
  rota::index_t window = 0;  ///< queries that attention_mass sums over
  shared_extras shared;
  fallback_choice fallback;
  const split_scores* predicted = nullptr;  ///< by the predictor; null without one
  /// [layers]: attention mass times slice norm by the queries that are still to come: what a
  /// predictor would say if it knew. Empty: no method asks for it.
  std::vector<scored<3>> oracle;
};

}  // namespace rota_lm::eval

#pragma once

#include <rota/select/selection.hpp>

namespace rota {

/// What makes the scores of different layers comparable before one budget ranks them together.
/// Inside a layer none of them changes the order (rounding may make neighbours equal). The items of
/// a layer are the scores that selection ranks there: tokens that are not protected, and their
/// groups that exist. x is one of them, the statistics are over all of them:
enum class layer_normalization : std::uint8_t {
  none,
  layer_mean,   ///< x / mean |x|: for scores that are not negative, over their mean
  layer_sum,    ///< x / sum |x|: the share of the layer's total
  standardize,  ///< (x - mean) / standard deviation, of the whole population
  rank,         ///< (items below x + half of the others equal to it) / (items - 1), in [0, 1]
};

/// A normalization for each level. `none` where a level does not select.
struct score_normalization {
  layer_normalization tokens = layer_normalization::none;
  layer_normalization groups = layer_normalization::none;
};

}  // namespace rota

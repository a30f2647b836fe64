#pragma once

#include <cstdint>

#include <rota/core/codec.hpp>
#include <rota/core/view.hpp>

namespace rota {

/// Token positions fit 32 bits; offsets never do and use index_t.
using position_t = std::int32_t;

/// One bit a value group; bit s stands for the slice [s * width, (s + 1) * width).
using group_mask = std::uint16_t;
inline constexpr int max_groups = 16;

ROTA_HD constexpr group_mask full_mask(int groups) {
  return static_cast<group_mask>((1u << groups) - 1u);
}

/// Whether d_v can be cut into slices of `width` elements of `element_bytes`: at most max_groups
/// of them, which is what a mask has bits for, each a whole number of 16-byte vectors.
constexpr bool legal_group_width(index_t d_v, index_t width, index_t element_bytes) {
  return width > 0 && d_v > 0 && d_v % width == 0 && d_v / width <= max_groups &&
         width * element_bytes % 16 == 0;
}

/// Tokens kept whole at selection: the first and the last of the context. They count inside
/// every budget.
struct protection {
  index_t sinks = 0;
  index_t window = 0;

  /// Number of protected tokens among n.
  constexpr index_t count(index_t n) const { return sinks + window < n ? sinks + window : n; }
  constexpr bool covers(index_t i, index_t n) const { return i < sinks || i >= n - window; }
};

/// Which of a model's layers something belongs to: some budgets give layers different shares.
struct layer_place {
  index_t layer = 0;   ///< 0 .. layers - 1
  index_t layers = 1;  ///< of the whole model, or of what shares one budget
};

/// Where what a budget counts lies. In scopes above the head, `head` is the scope's first.
struct budget_place : layer_place {
  index_t head = 0;   ///< kv head, 0 .. heads - 1
  index_t heads = 1;  ///< kv heads of the layer
};

}  // namespace rota

// Selections of a span of layers: their memory, and what they kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <rota/core/types.hpp>
#include <rota/select/selection.hpp>

namespace rota_lm::eval {

/// Memory of one layer's selection.
struct kept_memory {
  kept_memory(rota::index_t heads, rota::index_t tokens);
  kept_memory(kept_memory&&) = default;  // vectors keep their memory: the views stay valid
  kept_memory(const kept_memory&) = delete;

  std::vector<std::int32_t> indices;
  std::vector<rota::group_mask> masks;
  std::vector<std::int32_t> counts;
  rota::selection view;
};

struct kept_counts {
  std::size_t tokens = 0;      ///< over all layers and kv heads
  std::size_t groups = 0;      ///< of the survivors
  std::size_t all_tokens = 0;  ///< tokens * layers * kv heads
};

kept_counts count_kept(std::span<const rota::select_problem> problems,
                       std::span<const rota::selection> kept);

}  // namespace rota_lm::eval

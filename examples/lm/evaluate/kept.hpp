// Selections of a span of layers: their memory, and what they kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <rota/select/selection.hpp>

namespace rota_lm::eval {

/// Memory of one layer's selection.
struct kept_memory {
  kept_memory(rota::index_t heads, rota::index_t tokens)
      : indices(static_cast<std::size_t>(heads * tokens)),
        masks(static_cast<std::size_t>(heads * tokens)),
        counts(static_cast<std::size_t>(heads)) {
    view.indices = rota::view<std::int32_t, 2>(indices.data(), heads, tokens);
    view.masks = rota::view<rota::group_mask, 2>(masks.data(), heads, tokens);
    view.counts = rota::view<std::int32_t, 1>(counts.data(), heads);
  }
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

inline kept_counts count_kept(std::span<const rota::select_problem> problems,
                              std::span<const rota::selection> kept) {
  kept_counts out;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    for (rota::index_t h = 0; h < problems[i].kv_heads; ++h) {
      const rota::head_counts c = rota::count_head(kept[i], h);
      out.tokens += static_cast<std::size_t>(c.tokens);
      out.groups += static_cast<std::size_t>(c.groups);
    }
    out.all_tokens += static_cast<std::size_t>(problems[i].kv_heads * problems[i].tokens);
  }
  return out;
}

}  // namespace rota_lm::eval

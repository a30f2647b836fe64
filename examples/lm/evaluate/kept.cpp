#include "evaluate/kept.hpp"

#include <rota/core/view.hpp>

namespace rota_lm::eval {

kept_memory::kept_memory(rota::index_t heads, rota::index_t tokens)
    : indices(static_cast<std::size_t>(heads * tokens)),
      masks(static_cast<std::size_t>(heads * tokens)),
      counts(static_cast<std::size_t>(heads)) {
  view.indices = rota::view<std::int32_t, 2>(indices.data(), heads, tokens);
  view.masks = rota::view<rota::group_mask, 2>(masks.data(), heads, tokens);
  view.counts = rota::view<std::int32_t, 1>(counts.data(), heads);
}

kept_counts count_kept(std::span<const rota::select_problem> problems,
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

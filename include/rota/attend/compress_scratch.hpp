#pragma once

#include <rota/core/workspace.hpp>
#include <rota/select/selection.hpp>

namespace rota {

/// The arrays of one compress() call: scores, selection, and the workspace of its three steps.
struct compress_scratch {
  layer_scores scores;
  selection kept;
  workspace inner;

  compress_scratch(carver& c, const select_problem& p, std::size_t inner_bytes) {
    const index_t h = p.kv_heads;
    const index_t n = p.tokens;
    scores.tokens = view<float, 2>(c.take<float>(h * n), h, n);
    scores.groups = view<float, 3>(c.take<float>(h * n * p.groups), h, n, p.groups);
    kept.indices = view<std::int32_t, 2>(c.take<std::int32_t>(h * n), h, n);
    kept.masks = view<group_mask, 2>(c.take<group_mask>(h * n), h, n);
    kept.counts = view<std::int32_t, 1>(c.take<std::int32_t>(h), h);
    inner.data = c.take<std::byte>(static_cast<std::int64_t>(inner_bytes));
    inner.bytes = inner_bytes;
  }
};

}  // namespace rota

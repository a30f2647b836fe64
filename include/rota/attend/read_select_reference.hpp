#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include <rota/attend/read_select.hpp>

// Read-select written down in double, from the tokens themselves.

namespace rota::reference {

/// The bound of a page's logits, without the scale: the largest over the query tokens and the query
/// heads of kv head h of sum_c max(q_c * low_c, q_c * high_c).
template <kv_store Store>
double page_bound(const Store& store, index_t h, const page_ref& page,
                  const view<const float, 3>& q) {
  const auto b = store.block_at(h, page.block);
  const index_t group = q.extent[1] / store.kv_heads();
  double most = -std::numeric_limits<double>::infinity();
  for (index_t i = 0; i < q.extent[0]; ++i)
    for (index_t head = h * group; head < (h + 1) * group; ++head) {
      double sum = 0;
      for (index_t c = 0; c < store.d_k(); ++c) {
        double best = -std::numeric_limits<double>::infinity();
        for (index_t j = page.first; j < page.first + page.count; ++j)
          best = std::fmax(
              best, static_cast<double>(q(i, head, c)) *
                        static_cast<double>(static_cast<float>(b.keys[j * b.key_stride + c])));
        sum += best;
      }
      most = std::fmax(most, sum);
    }
  return most;
}

/// A head's pages, found block by block.
template <kv_store Store>
std::vector<page_ref> pages_of(const Store& store, index_t h, index_t page_tokens) {
  std::vector<page_ref> out;
  for (index_t i = 0; i < store.block_count(h); ++i) {
    const auto b = store.block_at(h, i);
    for (index_t first = 0; first < b.count;) {
      const index_t n = page_length(b, first, page_tokens);
      out.push_back({static_cast<std::int32_t>(i), static_cast<std::int32_t>(first),
                     static_cast<std::int32_t>(n)});
      first += n;
    }
  }
  return out;
}

}  // namespace rota::reference

#pragma once

#include <rota/core/score_key.hpp>
#include <rota/cuda/select/table.cuh>

// The scores that a normalization reads and writes: those of tokens that are not protected, and of
// their groups that exist. Survivors are not known yet, so all of them count.

namespace rota::cuda {

/// The level of tokens: a score each.
struct token_level {
  ROTA_HD static index_t width(index_t) { return 1; }
  ROTA_DEVICE static unsigned present(const select_chunk&, index_t) { return 1; }
  /// A selection only reads what a normalization writes: an entry has no other pointer.
  ROTA_DEVICE static float* scores(const select_chunk& c, index_t i) {
    return const_cast<float*>(c.layer.tokens) + c.head * c.layer.token_head + i;
  }
};

/// The level of groups.
struct group_level {
  /// Scores of a token in a layer of `groups` groups.
  ROTA_HD static index_t width(index_t groups) { return groups; }
  /// Bit g: the token has the group.
  ROTA_DEVICE static unsigned present(const select_chunk& c, index_t i) {
    return c.layer.available_groups(c.head, i);
  }
  ROTA_DEVICE static float* scores(const select_chunk& c, index_t i) {
    return const_cast<float*>(c.layer.groups) + c.head * c.layer.group_head +
           i * c.layer.group_token;
  }
};

/// Calls f(score) with a pointer to each item of the thread's tokens, ascending.
template <class Level, class F>
ROTA_DEVICE void for_each_score(const select_chunk& c, F&& f) {
  const index_t first = c.first + index_t{ptx::thread_index()} * select_thread_tokens;
  const int width = static_cast<int>(Level::width(c.layer.group_count));
  for (index_t i = first; i < first + select_thread_tokens && i < c.last; ++i) {
    if (!c.layer.is_ranked(i)) continue;
    const unsigned present = Level::present(c, i);
    float* const scores = Level::scores(c, i);
    for (int g = 0; g < width; ++g)
      if ((present >> g & 1u) != 0) f(scores + g);
  }
}

/// std::isfinite, which device code may not call.
ROTA_DEVICE bool is_finite(float x) {
  return (bit_cast<std::uint32_t>(x) & 0x7f800000u) != 0x7f800000u;
}

}  // namespace rota::cuda

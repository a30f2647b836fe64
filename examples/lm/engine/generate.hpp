// The generation loop.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "engine/attention_seam.hpp"
#include "engine/config.hpp"
#include "engine/matrix.hpp"
#include "engine/model.hpp"
#include "engine/sampler.hpp"
#include "engine/text_stream.hpp"

namespace rota_lm {

/// Draws up to `count` tokens that follow `logits` (one row: those of the last token that `cache`
/// has seen), feeding each back. Ends early at one of the model's end tokens, which is not handed
/// on. Calls on_token(id) for each token; returns how many. Only ids below `vocabulary` are drawn:
/// checkpoints often pad their logits beyond the tokenizer's tokens.
template <attention_cache Cache, class OnToken>
std::size_t generate(const model& lm, Cache& cache, matrix logits, sampler& draw, std::size_t count,
                     std::size_t vocabulary, OnToken&& on_token) {
  const std::vector<token_id>& ends = lm.config().eos;
  for (std::size_t made = 0; made < count; ++made) {
    const std::span<const float> row = values(std::as_const(logits));
    const token_id id = draw(row.first(std::min(vocabulary, row.size())));
    if (std::ranges::find(ends, id) != ends.end()) return made;
    on_token(id);
    if (made + 1 < count) logits = lm.forward(std::span(&id, 1), cache);
  }
  return count;
}

}  // namespace rota_lm

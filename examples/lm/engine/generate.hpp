// The generation loop.
#pragma once

#include <cstddef>
#include <functional>

#include "engine/attention_seam.hpp"
#include "engine/config.hpp"
#include "engine/matrix.hpp"
#include "engine/model.hpp"
#include "engine/sampler.hpp"

namespace rota_lm {

/// Draws up to `count` tokens that follow `logits` (one row: those of the last token that `cache`
/// has seen), feeding each back. Ends early at one of the model's end tokens, which is not handed
/// on. Calls on_token(id) for each token; returns how many. Only ids below `vocabulary` are drawn:
/// checkpoints often pad their logits beyond the tokenizer's tokens.
std::size_t generate(const model& lm, attention_cache& cache, matrix logits, sampler& draw,
                     std::size_t count, std::size_t vocabulary,
                     const std::function<void(token_id)>& on_token);

}  // namespace rota_lm

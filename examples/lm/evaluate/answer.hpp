// Answers of samples through a cache, scored.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "engine/attention_seam.hpp"
#include "engine/matrix.hpp"
#include "engine/model.hpp"
#include "engine/tokenizer/tokenizer.hpp"
#include "evaluate/sample.hpp"
#include "evaluate/statistics.hpp"

namespace rota_lm::eval {

/// Decodes up to `count` tokens greedily, after `before` (logits of the token before them).
std::string write_greedily(const model& lm, const tokenizer& text, attention_cache& cache,
                           const matrix& before, std::size_t count);

/// The share of `references` that stand somewhere in `text`, capitals or not (RULER's
/// string_match_all).
double share_contained(const std::string& text, const std::vector<std::string>& references);

/// Answers a sample through a cache that holds what was kept of its prefill (or nothing, with the
/// question as `prompt`). Of one exact answer all tokens run in one forward pass: token i is the
/// greedy choice after the i right ones before it, so all being so is the same as decoding them
/// greedily one by one.
outcome answer(const model& lm, const tokenizer& text, const prepared& sample,
               const token_ids& prompt, attention_cache& cache);

}  // namespace rota_lm::eval

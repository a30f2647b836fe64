// The stock scorers by name. Each is compiled once, over one type of context.
#pragma once

#include <cstddef>
#include <string>

#include <rota/core/view.hpp>
#include <rota/cpu/backend.hpp>
#include <rota/policy/context.hpp>
#include <rota/score/output_projection.hpp>

#include "engine/scoring_context.hpp"
#include "engine/scratch_memory.hpp"
#include "evaluate/policies.hpp"
#include "evaluate/sequence.hpp"

namespace rota_lm::eval {

using layer_context = scoring_context<element>::context_type;

/// What any stock scorer reads of a layer.
using stock_context =
    rota::context<element, rota::window_queries, rota::query_moments, rota::rope_frequencies,
                  rota::output_projection, rota::output_gram>;

/// A layer's context with at most its last `queries` queries and, where `outputs` is not null, what
/// scorers read of the output projection.
stock_context with_outputs(const layer_context& c, rota::index_t queries,
                           const model_outputs* outputs, std::size_t layer);

/// Scores a layer's tokens, out [kv_heads, tokens]. `sinks`: tokens that scorers which ask should
/// leave out. The predictor and the oracle are no stock scorers: throws.
void score_tokens(token_scorer which, const stock_context& c, rota::index_t sinks,
                  const rota::cpu::backend& backend, scratch_memory& scratch,
                  const rota::view<float, 2>& out, const std::string& where);

/// Scores a layer's value groups, out [kv_heads, tokens, d_v / width]. Throws as score_tokens().
void score_groups(group_scorer which, const stock_context& c, int width,
                  const rota::cpu::backend& backend, scratch_memory& scratch,
                  const rota::view<float, 3>& out, const std::string& where);

}  // namespace rota_lm::eval

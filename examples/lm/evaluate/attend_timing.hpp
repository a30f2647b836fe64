// How long attention over each row's kind of store takes, where only bytes decide: one layer of a
// large model's shape, random tokens, far more than caches hold.
#pragma once

#include <functional>
#include <vector>

#include <rota/core/types.hpp>
#include <rota/cpu/backend.hpp>

#include "evaluate/method.hpp"
#include "evaluate/options.hpp"
#include "evaluate/results.hpp"

namespace rota_lm::eval {

struct attend_shape {
  rota::index_t tokens = 65536;
  rota::index_t kv_heads = 8;
  rota::index_t q_heads = 32;
  rota::index_t d = 128;
  rota::index_t window = 16;
};

/// The method with stock scorers in place of those that ask for more than random_layer has: a
/// model, an answer, or a query of every token. What is timed is a store of these bytes, cut by
/// these budgets.
method on_random_data(method m);

/// Fills attend_time_ratio of the dense and the packed rows; each row's selectors, but for
/// on_random_data(), choose at the row's budget. Calls done(row) after each packed one.
void time_attention(const options& o, const attend_shape& shape, const rota::cpu::backend& backend,
                    std::vector<row_result>& rows,
                    const std::function<void(const row_result&)>& done);

}  // namespace rota_lm::eval

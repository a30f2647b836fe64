// Selection by the budgets that a method names.
#pragma once

#include <span>

#include <rota/core/status.hpp>
#include <rota/cpu/backend.hpp>
#include <rota/select/selection.hpp>

#include "engine/scratch_memory.hpp"
#include "evaluate/method.hpp"

namespace rota_lm::eval {

/// Kept fractions of all tokens, and of the survivors' groups. Protected ones count inside.
struct fractions {
  double tokens = 1;
  double groups = 1;
};

/// Layers that share a budget, one entry each in all three.
struct layer_span {
  std::span<const rota::select_problem> problems;
  std::span<const rota::layer_scores> scores;
  std::span<const rota::selection> kept;  ///< written
};

/// Selects by the method's budgets; a level without one keeps everything. budget_too_small: the
/// fractions cannot hold the protected tokens.
[[nodiscard]] rota::status select(const method& m, const fractions& f, const layer_span& span,
                                  const rota::cpu::backend& backend, scratch_memory& scratch);

}  // namespace rota_lm::eval

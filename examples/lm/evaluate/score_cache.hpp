// The scores of a span of layers, by each scorer that a method asks for, made once.
#pragma once

#include <cstddef>
#include <map>
#include <utility>
#include <vector>

#include <rota/cpu/backend.hpp>
#include <rota/select/selection.hpp>

#include "engine/scratch_memory.hpp"
#include "evaluate/method.hpp"
#include "evaluate/sequence.hpp"
#include "evaluate/stock_scores.hpp"

namespace rota_lm::eval {

class score_cache {
 public:
  /// `sinks`: tokens that scorers which ask should leave out.
  score_cache(int group_width, rota::index_t sinks, rota::cpu::backend backend,
              sequence_extras extras)
      : group_width_(group_width), sinks_(sinks), backend_(backend), extras_(std::move(extras)) {}

  /// Views of the scores that a method selects by; they stay valid as long as this. The contexts
  /// must be the same in every call. Layers up to the predictor's split have its fallback's scores.
  std::vector<rota::layer_scores> of(const method& m, const std::vector<layer_context>& contexts);

  /// The first layer that the method's own scorers rank; those before have the fallback's.
  std::size_t split_of(const method& m) const;
  const fallback_choice& fallback() const { return extras_.fallback; }

 private:
  const scored<2>& tokens(token_scorer which, const layer_context& c, std::size_t layer);
  const scored<3>& groups(group_scorer which, const layer_context& c, std::size_t layer);

  int group_width_;
  rota::index_t sinks_;
  rota::cpu::backend backend_;
  sequence_extras extras_;
  std::map<std::pair<token_scorer, std::size_t>, scored<2>> tokens_;  ///< by scorer and layer
  std::map<std::pair<group_scorer, std::size_t>, scored<3>> groups_;
  scratch_memory scratch_;
};

}  // namespace rota_lm::eval

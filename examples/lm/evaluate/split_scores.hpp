// A predictor's scores, made while the prefill is at the split layer.
#pragma once

#include <cstddef>
#include <vector>

#include <rota/cpu/backend.hpp>

#include "engine/attention_seam.hpp"
#include "evaluate/sequence.hpp"

namespace rota_lm::eval {

/// Observes a prefill of one forward pass and scores, at the predictor's split, all layers from
/// there on. The hidden states need not be kept: what is left of them is one number for each
/// (layer, kv head, token) or group.
class split_scores final : public layer_observer {
 public:
  struct wanted {
    bool tokens = false;
    bool groups = false;
  };

  /// Scores the first `tokens` of the prefill; the last rows of all are the query. Without a
  /// predictor, or where nothing is wanted, does nothing.
  split_scores(const fitted_predictor* predictor, wanted what, std::size_t tokens,
               rota::cpu::backend backend)
      : predictor_(predictor), wanted_(what), tokens_(tokens), backend_(backend) {}

  void on_layer(const layer_trace& t) override;

  /// [layers]; those before the split are empty.
  const std::vector<scored<2>>& tokens() const { return by_token_; }
  const std::vector<scored<3>>& groups() const { return by_group_; }
  /// What the scoring took, as part of the prefill.
  double seconds() const { return seconds_; }

 private:
  const fitted_predictor* predictor_;
  wanted wanted_;
  std::size_t tokens_;
  rota::cpu::backend backend_;
  std::vector<scored<2>> by_token_;
  std::vector<scored<3>> by_group_;
  double seconds_ = 0;
};

}  // namespace rota_lm::eval

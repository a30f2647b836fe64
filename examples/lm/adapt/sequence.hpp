// One training sequence: a prefix that is routed, and what follows it.
#pragma once

#include <cstddef>
#include <span>

#include "adapt/value_routing.hpp"
#include "engine/config.hpp"

namespace rota_lm {

template <class T>
struct training_sequence {
  std::span<const token_id> ids;
  std::size_t prefix = 0;  ///< the first tokens, which later ones read with dropped groups
  value_budget<T> budget;
};

/// What each part counts for. The prefix's tokens see one another as they are; learning from them
/// too teaches the domain.
struct loss_weights {
  double prefix = 1, continuation = 1;
  double balance = 0.01;  ///< of the mean balance term of the adapters
};

/// Sums over the tokens that are predicted, in nats.
struct sequence_loss {
  double prefix = 0, continuation = 0;
  std::size_t prefix_tokens = 0, continuation_tokens = 0;
  double balance = 0;  ///< mean over the routed adapters
};

}  // namespace rota_lm

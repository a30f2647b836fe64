// adapt, but for the command line and the exit code.
#pragma once

#include <cstddef>
#include <ostream>
#include <span>
#include <string>

#include "adapt/outcome.hpp"
#include "adapt/state_file.hpp"

namespace rota_lm {

/// One run from its options to its files.
class adaptation {
 public:
  /// Tries the places for results, then reads the model and prepares its values.
  explicit adaptation(const adapt_options& o);
  adaptation(const adaptation&) = delete;
  adaptation& operator=(const adaptation&) = delete;

  /// Everything that the course of the run depends on, in words.
  std::string name() const;
  const parameter_layout& layout() const { return layout_; }

  /// Trains to the end, from where the state file stands if there is one, and writes the files.
  void run(std::ostream& out);

  /// The mean loss of the tokens from ids[first] on, where they and the token before them read
  /// those before that with a share rho of the groups: masked instead of packed. After run().
  double masked_loss(std::span<const token_id> ids, std::size_t first, double rho) const;

 private:
  std::string run_number() const;
  double masked_sum(std::span<const token_id> ids, std::size_t prefix, double rho) const;

  adapt_options options_;
  tokenizer text_;
  adaptation_texts texts_;
  based_model base_;
  parameter_layout layout_;
  group_order fixed_;
  trainer<float> trainer_;
  routed_values values_;
};

/// Adapts and says how many numbers were trained.
void adapt(const adapt_options& o, std::ostream& out);

}  // namespace rota_lm

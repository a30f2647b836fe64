// What a predictor learns from: hidden states of a text's tokens, and the attention that they then
// really got from the tokens that ask.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include <rota/train/predictor_weights.hpp>

#include "engine/model.hpp"
#include "engine/model_outputs.hpp"

namespace rota_lm {

/// A text, cut where the cache would be compressed.
struct cut_text {
  std::vector<token_id> ids;
  /// Tokens before the cut. What follows asks too, as the answer will: its attention is part of
  /// the target, though the predictor never sees it.
  std::size_t cut = 0;
};

/// What a group is worth to a query that looks at its token: the norm of the slice as it is stored,
/// or of what the output projection makes of it.
enum class slice_worth { value_norm, wo_norm };

/// How a text becomes a sample.
struct calibration_setting {
  slice_worth worth = slice_worth::value_norm;
  std::size_t split = 1;
  std::size_t sinks = 4;
  std::size_t window = 16;
  std::size_t group_width = 16;
};

/// A sample and its memory.
struct owned_calibration {
  std::vector<rota::bf16> hidden, query, target;
  rota::train::calibration_sample view;

  owned_calibration() = default;
  owned_calibration(owned_calibration&&) = default;  // vectors keep their memory
  owned_calibration& operator=(owned_calibration&&) = default;
};

/// Runs the model over a text and gathers the sample: hidden states that enter the split layer, and
/// for each later layer attention mass times slice norm (rota::attention_mass or
/// attention_mass_wo), the queries being the window's and those of all tokens after the cut.
class calibrator {
 public:
  /// Throws where the model has no layer `split`.
  calibrator(const model& lm, const calibration_setting& s);

  /// Of the samples that come; rank 0.
  const rota::train::predictor_shape& shape() const { return shape_; }

  owned_calibration gather(const cut_text& text) const;

 private:
  const model& lm_;
  calibration_setting setting_;
  rota::train::predictor_shape shape_;
  std::optional<model_outputs> outputs_;
};

}  // namespace rota_lm

// The rope part of config.json, in its old form (rope_theta, rope_scaling) and its newer one
// (rope_parameters).
#pragma once

#include <cstddef>

namespace rota_lm {

class json_field;

enum class rope_kind { plain, linear, llama3, yarn };

/// Parameters of the rotary embedding; which are used depends on `kind`.
struct rope_config {
  rope_kind kind = rope_kind::plain;
  double theta = 10000.0;
  double factor = 1.0;            ///< linear, llama3, yarn
  double original_positions = 0;  ///< linear, llama3, yarn: the context length before scaling
  double low_freq_factor = 1.0;   ///< llama3
  double high_freq_factor = 4.0;  ///< llama3
  double beta_fast = 32.0;        ///< yarn
  double beta_slow = 1.0;         ///< yarn
  bool truncate = true;           ///< yarn: round the corrected range outwards
  double attention_factor = 1.0;  ///< yarn: multiplies cosines and sines
};

/// Reads the rope parameters of config.json's root object. Scalings that are not implemented are
/// refused by name.
rope_config read_rope_config(const json_field& root, std::size_t max_positions);

}  // namespace rota_lm

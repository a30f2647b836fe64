// What an adaptation begins with: texts, and a base model whose values lie in the basis asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <variant>

#include "adapt/options.hpp"
#include "adapt/start.hpp"
#include "adapt/texts.hpp"
#include "engine/model.hpp"
#include "engine/value_basis.hpp"

namespace rota_lm {

/// Training texts and those that calibrate, which are others of the same split.
class adaptation_texts {
 public:
  adaptation_texts(const adapt_options& o, const tokenizer& text);

  cut_ids training(std::size_t number, const sequence_lengths& l) const;
  /// The same whatever the run's seed.
  cut_ids calibration(std::size_t number, const sequence_lengths& l) const;

 private:
  using source = std::variant<generated_sequences, file_sequences>;

  static source open(const adapt_options& o, const tokenizer& text);
  cut_ids make(std::size_t number, const sequence_lengths& l) const;

  std::uint64_t seed_;
  source source_;
};

/// A base model whose values lie in the basis that was asked for.
struct based_model {
  std::unique_ptr<model> lm;
  value_basis basis;
  value_moments moments;
};

/// Reads the model of the options, gathers its moments and turns its values.
based_model prepare_base(const adapt_options& o, const adaptation_texts& texts);

}  // namespace rota_lm

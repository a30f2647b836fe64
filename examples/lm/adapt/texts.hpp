// Where training sequences come from: the generator's training split, or a text file.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "adapt/trainer.hpp"
#include "engine/tokenizer/tokenizer.hpp"
#include "generator.hpp"

namespace rota_lm {

/// Prefix and continuation, in tokens.
struct sequence_lengths {
  std::size_t prefix = 192;
  std::size_t continuation = 96;
  std::size_t all() const { return prefix + continuation; }
};

/// Generated texts of one task, by their numbers. Refers to the tokenizer.
class generated_sequences {
 public:
  generated_sequences(synth::task task, synth::split from, const tokenizer& text)
      : task_(task), from_(from), text_(text) {}

  cut_ids make(std::size_t number, const sequence_lengths& l) const;

 private:
  synth::task task_;
  synth::split from_;
  const tokenizer& text_;
};

/// Pieces of a text file, begun at places that follow from the number.
class file_sequences {
 public:
  /// Throws where the file has not as many tokens as the longest sequence.
  file_sequences(const std::string& path, const tokenizer& text, const sequence_lengths& longest);

  cut_ids make(std::size_t number, const sequence_lengths& l) const;

 private:
  std::vector<token_id> ids_;
};

}  // namespace rota_lm

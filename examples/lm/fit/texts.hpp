// Where calibration texts come from: a text file, or the generator's training split.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/tokenizer/tokenizer.hpp"
#include "fit/calibration.hpp"
#include "generator.hpp"

namespace rota_lm {

/// How long texts are, in tokens.
struct text_lengths {
  std::size_t context = 1024;  ///< before the cut
  std::size_t horizon = 8;     ///< after the cut, at most
  std::size_t window = 16;
};

/// Pieces of a text file, begun at places that follow from the seed.
class file_texts {
 public:
  /// Throws where the file has not as many tokens as one sample.
  file_texts(const std::string& path, const tokenizer& text, const text_lengths& l,
             std::uint64_t seed);

  cut_text make(std::size_t number) const;

 private:
  text_lengths lengths_;
  std::uint64_t seed_;
  std::vector<token_id> ids_;
};

/// Samples of the generator's tasks in turn, cut after the question; the answer follows.
class generated_texts {
 public:
  generated_texts(std::vector<synth::task> tasks, const tokenizer& text, const text_lengths& l,
                  std::uint64_t seed)
      : tasks_(std::move(tasks)), text_(text), lengths_(l), seed_(seed) {}

  cut_text make(std::size_t number) const;

 private:
  void append(std::vector<token_id>& ids, const std::string& part) const;

  std::vector<synth::task> tasks_;
  const tokenizer& text_;
  text_lengths lengths_;
  std::uint64_t seed_;
};

/// The same contexts, cut before any question; what follows asks about all there is, as far as the
/// horizon reaches. What is learned is to rank a context before its question is known.
class unasked_texts {
 public:
  unasked_texts(std::vector<synth::task> tasks, const tokenizer& text, const text_lengths& l,
                std::uint64_t seed)
      : tasks_(std::move(tasks)), text_(text), lengths_(l), seed_(seed) {}

  cut_text make(std::size_t number) const;

 private:
  std::vector<synth::task> tasks_;
  const tokenizer& text_;
  text_lengths lengths_;
  std::uint64_t seed_;
};

}  // namespace rota_lm

// Raw text (WikiText's files, a book) in windows: the usual strided perplexity.
#pragma once

#include <cctype>
#include <cstddef>
#include <span>
#include <string>

#include "evaluate/task.hpp"

namespace rota_lm::eval {

/// A text cut into windows that begin `stride` tokens apart. Each has `context` tokens, which are
/// compressed, and up to `stride` more, which are scored: every token after the first `context` is
/// scored once, after as many tokens as any other. Refers to its tokenizer.
class text_windows {
 public:
  /// `context` counts what the tokenizer puts before a text, which each window begins with.
  text_windows(const std::string& path, std::size_t context, std::size_t stride,
               const tokenizer& text);
  std::size_t count() const { return (ids_.size() - length_ + stride_ - 1) / stride_; }

  token_ids context(std::size_t window) const;
  token_ids scored(std::size_t window) const;

  /// Words that begin in the scored tokens; between words is white space.
  double words(std::size_t window) const;

 private:
  static bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }
  std::span<const token_id> all() const { return ids_; }
  std::span<const token_id> scored_span(std::size_t window) const;

  const tokenizer& text_;
  std::size_t stride_, length_;
  token_ids before_, ids_;
};

/// Perplexity per token, and per word, of the first `o.samples` windows of a text.
task text_task(const std::string& path, std::size_t stride, const options& o,
               const model_config& config, const tokenizer& text);

}  // namespace rota_lm::eval

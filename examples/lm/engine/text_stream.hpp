// Text that streams out of a generation.
#pragma once

#include <span>
#include <string>

#include "engine/config.hpp"
#include "engine/tokenizer/tokenizer.hpp"

namespace rota_lm {

/// Turns the tokens of a generation into text as they come, each piece once it can no longer
/// change. All pieces together are what decoding the tokens `before` and the new ones as one text
/// has beyond the text of those before; where new tokens change that text (they complete a
/// character that it ends in, say), what begins with the first character that differs. Refers to
/// the tokenizer, which must outlive it. Special tokens have no text.
class text_stream {
 public:
  explicit text_stream(const tokenizer& text, std::span<const token_id> before = {});

  /// The text that this token completes: whole characters, often a word, sometimes nothing. Throws
  /// on an id that is no token.
  std::string push(token_id id);

  /// What is still held back at the end. Nothing can follow.
  std::string finish();

 private:
  std::string beyond_known(std::string more);

  const tokenizer& text_;
  decoder decode_;
  std::string known_;  // text of the tokens before that decode_ has yet to give out
};

}  // namespace rota_lm

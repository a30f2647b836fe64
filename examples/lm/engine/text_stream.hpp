// Text that streams out of a generation.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/config.hpp"
#include "engine/tokenizer/tokenizer.hpp"

namespace rota_lm {

/// Turns tokens into text as they come. A token may hold half a character, so that text is handed
/// out only once it can no longer change.
class text_stream {
 public:
  explicit text_stream(const tokenizer& text) : text_(text) {}

  /// The text that this token completes; often a word, sometimes nothing.
  std::string push(token_id id);

  /// What is still held back at the end.
  std::string finish();

 private:
  const tokenizer& text_;
  std::vector<token_id> ids_;
  // Decoded is only what begins one handed-out stretch back: enough for decoders that treat the
  // first token differently, without decoding the whole text for each token.
  std::size_t begin_ = 0;
  std::size_t settled_ = 0;
  std::size_t shown_ = 0;  // bytes of decode(ids from begin_) already handed out
};

}  // namespace rota_lm

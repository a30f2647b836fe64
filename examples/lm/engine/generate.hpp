// The generation loop, and text that streams out of it.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/attention_seam.hpp"
#include "engine/config.hpp"
#include "engine/matrix.hpp"
#include "engine/model.hpp"
#include "engine/sampler.hpp"
#include "engine/tokenizer/tokenizer.hpp"

namespace rota_lm {

/// Draws up to `count` tokens that follow `logits` (one row: those of the last token that `cache`
/// has seen), feeding each back. Ends early at one of the model's end tokens, which is not handed
/// on. Calls on_token(id) for each token; returns how many. Only ids below `vocabulary` are drawn:
/// checkpoints often pad their logits beyond the tokenizer's tokens.
std::size_t generate(const model& lm, attention_cache& cache, matrix logits, sampler& draw,
                     std::size_t count, std::size_t vocabulary,
                     const std::function<void(token_id)>& on_token);

/// Turns tokens into text as they come. A token may hold half a character, so that text is handed
/// out only once it can no longer change.
class text_stream {
 public:
  explicit text_stream(const tokenizer& text) : text_(text) {}

  /// The text that this token completes; often a word, sometimes nothing.
  std::string push(token_id id) {
    ids_.push_back(id);
    const std::string now = text_.decode(std::span(ids_).subspan(begin_));
    // A replacement character at the end may be a character whose bytes are still to come; but no
    // character is longer than four bytes.
    if (now.ends_with("\xef\xbf\xbd") && ids_.size() - settled_ < 4) return {};
    std::string fresh = now.size() > shown_ ? now.substr(shown_) : std::string();
    begin_ = settled_;
    settled_ = ids_.size();
    shown_ = text_.decode(std::span(ids_).subspan(begin_)).size();
    return fresh;
  }

  /// What is still held back at the end.
  std::string finish() {
    const std::string now = text_.decode(std::span(ids_).subspan(begin_));
    return now.size() > shown_ ? now.substr(shown_) : std::string();
  }

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

#include "engine/text_stream.hpp"

#include <cstddef>
#include <string_view>

#include "engine/tokenizer/utf8.hpp"

namespace rota_lm {

text_stream::text_stream(const tokenizer& text, std::span<const token_id> before)
    : text_(text), decode_(text.new_decoder()) {
  for (const token_id id : before) push(id);
  known_ = decoder(decode_).finish();
}

std::string text_stream::push(token_id id) {
  const std::string* token = text_.spelling(id);
  return token == nullptr ? std::string() : beyond_known(decode_.push(*token));
}

std::string text_stream::finish() {
  return beyond_known(decode_.finish());
}

/// `more` without the characters that the text before has at its end already.
std::string text_stream::beyond_known(std::string more) {
  std::size_t same = 0;
  while (same < more.size() && same < known_.size()) {
    const std::size_t next = next_character(more, same);
    if (!std::string_view(known_).substr(same).starts_with(
            std::string_view(more).substr(same, next - same))) {
      known_.clear();
      return more.substr(same);
    }
    same = next;
  }
  known_.erase(0, same);
  return more.substr(same);
}

}  // namespace rota_lm

#include "engine/text_stream.hpp"

#include <span>

namespace rota_lm {

std::string text_stream::push(token_id id) {
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

std::string text_stream::finish() {
  const std::string now = text_.decode(std::span(ids_).subspan(begin_));
  return now.size() > shown_ ? now.substr(shown_) : std::string();
}

}  // namespace rota_lm

#include "engine/tokenizer/added_tokens.hpp"

#include <algorithm>
#include <utility>

#include "engine/tokenizer/unicode.hpp"
#include "engine/tokenizer/utf8.hpp"

namespace rota_lm {

namespace {

std::size_t after_spaces(std::string_view text, std::size_t at) {
  const decoded_text rest = decode_utf8(text.substr(at));
  std::size_t i = 0;
  while (i < rest.points.size() && unicode::is_space(rest.points[i])) ++i;
  return at + rest.starts[i];
}

std::size_t before_spaces(std::string_view text, std::size_t from, std::size_t at) {
  const decoded_text before = decode_utf8(text.substr(from, at - from));
  std::size_t i = before.points.size();
  while (i > 0 && unicode::is_space(before.points[i - 1])) --i;
  return from + before.starts[i];
}

}  // namespace

void added_token_finder::insert(added_token token) {
  const auto lead = static_cast<unsigned char>(token.content.front());
  std::vector<added_token>& bucket = by_lead_[lead];
  bucket.push_back(std::move(token));
  std::ranges::stable_sort(bucket, [](const added_token& a, const added_token& b) {
    return a.content.size() > b.content.size();
  });
}

std::vector<text_segment> added_token_finder::split(std::string_view text) const {
  std::vector<text_segment> out;
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {
    const added_token* token = match(text, at);
    if (token == nullptr) {
      ++at;
      continue;
    }
    const std::size_t begin = token->lstrip ? before_spaces(text, done, at) : at;
    at += token->content.size();
    if (token->rstrip) at = after_spaces(text, at);
    if (begin > done) out.push_back({text.substr(done, begin - done), std::nullopt});
    out.push_back({{}, token->id});
    done = at;
  }
  if (done < text.size()) out.push_back({text.substr(done), std::nullopt});
  return out;
}

const added_token* added_token_finder::match(std::string_view text, std::size_t at) const {
  for (const added_token& token : by_lead_[static_cast<unsigned char>(text[at])]) {
    if (text.substr(at).starts_with(token.content)) return &token;
  }
  return nullptr;
}

}  // namespace rota_lm

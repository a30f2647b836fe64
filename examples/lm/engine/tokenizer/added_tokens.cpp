#include "engine/tokenizer/added_tokens.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "engine/tokenizer/unicode.hpp"
#include "engine/tokenizer/utf8.hpp"

namespace rota_lm {

namespace {

/// Where the white space that begins at `at` ends.
std::size_t after_spaces(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    const std::size_t next = next_character(text, at);
    if (!unicode::is_space(decode_utf8(text.substr(at, next - at)).points[0])) break;
    at = next;
  }
  return at;
}

/// Where the white space that ends at `at` begins, `from` at the least.
std::size_t before_spaces(std::string_view text, std::size_t from, std::size_t at) {
  const decoded_text before = decode_utf8(text.substr(from, at - from));
  std::size_t i = before.points.size();
  while (i > 0 && unicode::is_space(before.points[i - 1])) --i;
  return from + before.starts[i];
}

unsigned char byte_at(const added_token& token, std::size_t at) {
  return static_cast<unsigned char>(token.content[at]);
}

}  // namespace

added_token_finder::added_token_finder(std::vector<added_token> tokens)
    : tokens_(std::move(tokens)) {
  std::ranges::stable_sort(tokens_, {}, &added_token::content);
  const auto same = [](const added_token& a, const added_token& b) {
    return a.content == b.content;
  };
  tokens_.erase(std::unique(tokens_.begin(), tokens_.end(), same), tokens_.end());
  for (const added_token& token : tokens_) ++by_lead_[byte_at(token, 0) + 1u];
  std::partial_sum(by_lead_.begin(), by_lead_.end(), by_lead_.begin());
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
  const auto lead = static_cast<unsigned char>(text[at]);
  auto first = tokens_.begin() + static_cast<std::ptrdiff_t>(by_lead_[lead]);
  auto last = tokens_.begin() + static_cast<std::ptrdiff_t>(by_lead_[lead + 1u]);
  // What begins as the text does is [first, last), narrowed byte by byte; a token that ends comes
  // before those that go on.
  const added_token* longest = nullptr;
  for (std::size_t size = 1; first != last; ++size) {
    if (first->content.size() == size) longest = &*first++;
    if (first == last || at + size == text.size()) break;
    const auto next = static_cast<unsigned char>(text[at + size]);
    if (byte_at(*first, size) == next && byte_at(*(last - 1), size) == next) continue;
    first = std::partition_point(
        first, last, [&](const added_token& token) { return byte_at(token, size) < next; });
    last = std::partition_point(
        first, last, [&](const added_token& token) { return byte_at(token, size) == next; });
  }
  return longest;
}

}  // namespace rota_lm

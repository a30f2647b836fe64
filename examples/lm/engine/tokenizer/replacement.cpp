#include "engine/tokenizer/replacement.hpp"

#include <algorithm>
#include <cstddef>

#include "engine/error.hpp"
#include "engine/tokenizer/utf8.hpp"

namespace rota_lm {

namespace {

struct occurrences {
  std::size_t count = 0;
  std::size_t end = 0;  ///< where the last one ends
};

occurrences find_all(std::string_view text, std::string_view pattern) {
  occurrences found;
  for (std::size_t at = 0; (at = text.find(pattern, at)) != std::string_view::npos;) {
    at += pattern.size();
    found = {found.count + 1, at};
  }
  return found;
}

}  // namespace

replacement::replacement(const json_field& step) : to_(step.at("content").string()) {
  const json_field pattern = step.at("pattern");
  const auto literal = pattern.find("String");
  if (!literal) fail(pattern.where(), "only String patterns are supported here");
  if (literal->string().empty()) fail(literal->where(), "is empty");
  check_pattern(*literal, literal->string().size());
  from_ = literal->string();
}

std::string replacement::operator()(std::string_view text, const growth_bound& bound) const {
  const std::size_t count = find_all(text, from_).count;
  bound.check(text.size() - count * from_.size() + count * to_.size());
  return replace_all(text, from_, to_);
}

std::string replacement::take(std::string& text, const growth_bound& bound) const {
  const std::string_view rest = std::string_view(text).substr(find_all(text, from_).end);
  std::size_t held = std::min(rest.size(), from_.size() - 1);
  while (!from_.starts_with(rest.substr(rest.size() - held))) --held;
  const std::size_t settled = text.size() - held;
  std::string out = (*this)(std::string_view(text).substr(0, settled), bound);
  text.erase(0, settled);
  return out;
}

}  // namespace rota_lm

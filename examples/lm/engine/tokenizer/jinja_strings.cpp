#include "engine/tokenizer/jinja_strings.hpp"

#include <algorithm>
#include <cstddef>

namespace rota_lm {

namespace {

char unescaped(char c) {
  return c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
}

/// Reads the literal that begins with the quote at `at`, and moves `at` behind it.
std::string read_literal(std::string_view source, std::size_t& at) {
  const char quote = source[at++];
  std::string text;
  for (; at < source.size() && source[at] != quote; ++at) {
    if (source[at] == '\\' && at + 1 < source.size()) {
      text += unescaped(source[++at]);
    } else {
      text += source[at];
    }
  }
  at = std::min(at + 1, source.size());
  return text;
}

}  // namespace

std::vector<std::string> jinja_strings(std::string_view source) {
  std::vector<std::string> strings;
  std::size_t at = 0;
  while ((at = source.find('{', at)) != std::string_view::npos && at + 1 < source.size()) {
    const char kind = source[++at];
    if (kind == '#') at = std::min(source.find("#}", at + 1), source.size());
    if (kind != '{' && kind != '%') continue;
    ++at;
    const std::string_view end = kind == '{' ? "}}" : "%}";
    while (at < source.size() && !source.substr(at).starts_with(end)) {
      if (source[at] == '\'' || source[at] == '"') {
        strings.push_back(read_literal(source, at));
      } else {
        ++at;
      }
    }
  }
  return strings;
}

}  // namespace rota_lm

#include "engine/tokenizer/unicode.hpp"

#include <algorithm>
#include <iterator>
#include <span>

#include "engine/tokenizer/unicode_tables.hpp"

namespace rota_lm::unicode {

namespace {

bool in(std::span<const range> runs, char32_t c) {
  const auto after = std::upper_bound(runs.begin(), runs.end(), c,
                                      [](char32_t x, const range& run) { return x < run.first; });
  return after != runs.begin() && c <= std::prev(after)->last;
}

}  // namespace

bool is_letter(char32_t c) {
  return in(letters, c);
}

bool is_number(char32_t c) {
  return in(numbers, c);
}

bool is_space(char32_t c) {
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

}  // namespace rota_lm::unicode

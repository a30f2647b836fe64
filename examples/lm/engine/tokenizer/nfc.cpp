// The NFC normal form, over the generated tables.
#include <algorithm>
#include <cstddef>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/tokenizer/unicode.hpp"
#include "engine/tokenizer/unicode_tables.hpp"
#include "engine/tokenizer/utf8.hpp"

namespace rota_lm::unicode {

namespace {

unsigned combining_class(char32_t c) {
  const auto after =
      std::upper_bound(combining_classes.begin(), combining_classes.end(), c,
                       [](char32_t x, const class_range& run) { return x < run.first; });
  if (after == combining_classes.begin() || c > std::prev(after)->last) return 0;
  return std::prev(after)->combining_class;
}

// Hangul syllables compose by arithmetic, not by table.
constexpr char32_t hangul = 0xac00, lead = 0x1100, vowel = 0x1161, trail = 0x11a7;
constexpr char32_t vowels = 21, trails = 28, syllables = 19 * vowels * trails;

char32_t compose_hangul(char32_t a, char32_t b) {
  if (a >= lead && a < lead + 19 && b >= vowel && b < vowel + vowels) {
    return hangul + ((a - lead) * vowels + (b - vowel)) * trails;
  }
  const bool open = a >= hangul && a < hangul + syllables && (a - hangul) % trails == 0;
  return open && b > trail && b < trail + trails ? a + (b - trail) : 0;
}

/// The code point that a followed by b composes to; 0 for none.
char32_t compose(char32_t a, char32_t b) {
  static const auto table = [] {
    std::unordered_map<unsigned long long, char32_t> map;
    for (const decomposition& d : pairs) {
      map.emplace(static_cast<unsigned long long>(d.first) << 32 | d.second, d.whole);
    }
    return map;
  }();
  const auto found = table.find(static_cast<unsigned long long>(a) << 32 | b);
  return found != table.end() ? found->second : compose_hangul(a, b);
}

const decomposition* find_decomposition(std::span<const decomposition> table, char32_t c) {
  const auto found =
      std::lower_bound(table.begin(), table.end(), c,
                       [](const decomposition& d, char32_t x) { return d.whole < x; });
  return found != table.end() && found->whole == c ? &*found : nullptr;
}

/// Appends the full canonical decomposition of c.
void decompose(char32_t c, std::vector<char32_t>& out) {
  if (c >= hangul && c < hangul + syllables) {
    const char32_t index = c - hangul;
    out.push_back(lead + index / (vowels * trails));
    out.push_back(vowel + index / trails % vowels);
    if (index % trails != 0) out.push_back(trail + index % trails);
    return;
  }
  const decomposition* d = find_decomposition(pairs, c);
  if (d == nullptr) d = find_decomposition(exclusions, c);
  if (d == nullptr) {
    out.push_back(c);
    return;
  }
  decompose(d->first, out);  // at most a few levels: the tables have no cycles
  if (d->second != 0) decompose(d->second, out);
}

/// Sorts each run of combining marks by class, keeping the order of equals.
void reorder(std::vector<char32_t>& points) {
  for (auto at = points.begin(); at != points.end();) {
    const auto starter = [](char32_t c) { return combining_class(c) == 0; };
    const auto marks = std::find_if_not(at, points.end(), starter);
    const auto end = std::find_if(marks, points.end(), starter);
    std::stable_sort(
        marks, end, [](char32_t a, char32_t b) { return combining_class(a) < combining_class(b); });
    at = end;
  }
}

/// Joins each mark or jamo with the last starter, unless something between blocks it.
std::vector<char32_t> recompose(const std::vector<char32_t>& points) {
  std::vector<char32_t> out;
  std::size_t starter = points.size();  // index in out; none yet
  unsigned before = 0;                  // combining class of the last code point in out
  for (const char32_t c : points) {
    const unsigned own = combining_class(c);
    const bool has_starter = starter < out.size();
    const bool adjacent = has_starter && starter + 1 == out.size();
    const char32_t whole = has_starter && (adjacent || before < own) ? compose(out[starter], c) : 0;
    if (whole != 0) {
      out[starter] = whole;
      continue;
    }
    if (own == 0) starter = out.size();
    out.push_back(c);
    before = own;
  }
  return out;
}

}  // namespace

std::string nfc(std::string_view text) {
  // Nothing below U+0300 combines, so most text is its own normal form.
  const auto plain = [](char c) { return static_cast<unsigned char>(c) < 0xcc; };
  if (std::all_of(text.begin(), text.end(), plain)) return std::string(text);
  std::vector<char32_t> points;
  for (const char32_t c : decode_utf8(text).points) decompose(c, points);
  reorder(points);
  std::string out;
  for (const char32_t c : recompose(points)) append_utf8(out, c);
  return out;
}

}  // namespace rota_lm::unicode

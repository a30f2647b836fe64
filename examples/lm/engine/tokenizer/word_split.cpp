#include "engine/tokenizer/word_split.hpp"

#include <array>
#include <cstddef>
#include <utility>

#include "engine/tokenizer/unicode.hpp"
#include "engine/tokenizer/utf8.hpp"

namespace rota_lm {

namespace {

/// Matches one pattern at a position of a text. The alternatives are tried in the pattern's order;
/// each function returns where its match ends, or its argument when it does not match.
class word_matcher {
 public:
  word_matcher(word_pattern pattern, const std::vector<char32_t>& points)
      : pattern_(pattern), points_(points) {
    for (const char32_t c : points) kinds_.push_back(kind_of(c));
  }

  /// The end of the word that begins at `at`. Always beyond `at`: every code point is a letter, a
  /// number, a space or something else, and each has an alternative that takes it.
  std::size_t word_end(std::size_t at) const {
    using alternative = std::size_t (word_matcher::*)(std::size_t) const;
    static constexpr std::array<alternative, 4> gpt2 = {
        &word_matcher::contraction, &word_matcher::spaced_letters, &word_matcher::spaced_numbers,
        &word_matcher::spaced_others};
    static constexpr std::array<alternative, 5> newer = {
        &word_matcher::contraction, &word_matcher::led_letters, &word_matcher::few_numbers,
        &word_matcher::spaced_others, &word_matcher::line_ends};
    if (pattern_ == word_pattern::gpt2) {
      for (const alternative match : gpt2) {
        if (const std::size_t end = (this->*match)(at); end != at) return end;
      }
    } else {
      for (const alternative match : newer) {
        if (const std::size_t end = (this->*match)(at); end != at) return end;
      }
    }
    return spaces(at);
  }

 private:
  enum class kind : unsigned char { letter, number, space, other };

  static kind kind_of(char32_t c) {
    if (unicode::is_letter(c)) return kind::letter;
    if (unicode::is_number(c)) return kind::number;
    return unicode::is_space(c) ? kind::space : kind::other;
  }

  bool is(std::size_t at, kind k) const { return at < kinds_.size() && kinds_[at] == k; }
  bool is(std::size_t at, char32_t c) const { return at < points_.size() && points_[at] == c; }
  bool ends_line(std::size_t at) const { return is(at, U'\r') || is(at, U'\n'); }
  std::size_t run_end(std::size_t at, kind k) const {
    while (is(at, k)) ++at;
    return at;
  }

  /// The lower-case letter that c is in a contraction. U+017F is the one non-ASCII letter that a
  /// case-insensitive match takes for one of them.
  char32_t folded(char32_t c) const {
    if (pattern_ == word_pattern::gpt2) return c;
    if (c == 0x17f) return U's';
    return c >= U'A' && c <= U'Z' ? c + 32 : c;
  }

  /// 's|'t|'re|'ve|'m|'ll|'d
  std::size_t contraction(std::size_t at) const {
    static constexpr std::array<std::u32string_view, 7> endings = {U"s", U"t",  U"re", U"ve",
                                                                   U"m", U"ll", U"d"};
    if (!is(at, U'\'')) return at;
    for (const std::u32string_view ending : endings) {
      std::size_t same = 0;
      while (same < ending.size() && at + 1 + same < points_.size() &&
             folded(points_[at + 1 + same]) == ending[same]) {
        ++same;
      }
      if (same == ending.size()) return at + 1 + same;
    }
    return at;
  }

  /// " ?" and then a run of one kind
  std::size_t spaced(std::size_t at, kind k) const {
    const std::size_t from = is(at, U' ') ? at + 1 : at;
    const std::size_t end = run_end(from, k);
    return end == from ? at : end;
  }
  std::size_t spaced_letters(std::size_t at) const { return spaced(at, kind::letter); }
  std::size_t spaced_numbers(std::size_t at) const { return spaced(at, kind::number); }

  /// [^\s\p{L}\p{N}]+ after " ?", and in the newer patterns the line ends after it
  std::size_t spaced_others(std::size_t at) const {
    std::size_t end = spaced(at, kind::other);
    if (end == at || pattern_ == word_pattern::gpt2) return end;
    while (ends_line(end)) ++end;
    return end;
  }

  /// [^\r\n\p{L}\p{N}]?\p{L}+
  std::size_t led_letters(std::size_t at) const {
    const bool led = !is(at, kind::letter) && !is(at, kind::number) && !ends_line(at);
    const std::size_t from = led ? at + 1 : at;
    const std::size_t end = run_end(from, kind::letter);
    return end == from ? at : end;
  }

  /// \p{N} or \p{N}{1,3}
  std::size_t few_numbers(std::size_t at) const {
    const std::size_t most = at + (pattern_ == word_pattern::llama3 ? 3 : 1);
    std::size_t end = at;
    while (end < most && is(end, kind::number)) ++end;
    return end;
  }

  /// \s*[\r\n]+: up to the last line end of a run of spaces
  std::size_t line_ends(std::size_t at) const {
    std::size_t end = at;
    for (std::size_t i = at; is(i, kind::space); ++i) {
      if (ends_line(i)) end = i + 1;
    }
    return end;
  }

  /// \s+(?!\S)|\s+: the whole run at the end of the text, else all but the last space, which is
  /// left to lead the next word
  std::size_t spaces(std::size_t at) const {
    const std::size_t end = run_end(at, kind::space);
    return end == points_.size() || end == at + 1 ? end : end - 1;
  }

  word_pattern pattern_;
  const std::vector<char32_t>& points_;
  std::vector<kind> kinds_;
};

}  // namespace

std::optional<word_pattern> find_word_pattern(std::string_view regex) {
  static constexpr std::array<std::pair<std::string_view, word_pattern>, 3> known = {
      {{R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
        word_pattern::gpt2},
       {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
        R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        word_pattern::qwen2},
       {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
        R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        word_pattern::llama3}}};
  for (const auto& [text, pattern] : known) {
    if (text == regex) return pattern;
  }
  return std::nullopt;
}

std::vector<std::string> split_words(word_pattern pattern, std::string_view text) {
  const decoded_text decoded = decode_utf8(text);
  const word_matcher matcher(pattern, decoded.points);
  std::vector<std::string> words;
  for (std::size_t at = 0; at < decoded.points.size();) {
    const std::size_t end = matcher.word_end(at);
    words.emplace_back(text.substr(decoded.starts[at], decoded.starts[end] - decoded.starts[at]));
    at = end;
  }
  return words;
}

}  // namespace rota_lm

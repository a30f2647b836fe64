// UTF-8, strictly: text from outside is decoded whole or refused, bytes of unknown worth are made
// valid by the usual replacement rule.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace rota_lm {

/// Code points of a text, and the byte at which each begins.
struct decoded_text {
  std::vector<char32_t> points;
  std::vector<std::size_t> starts;  ///< points.size() + 1 entries; the last is the text's size
};

/// Decodes valid UTF-8; throws, naming the byte, when it is not.
decoded_text decode_utf8(std::string_view text);

/// Where the character that begins at `at` in valid UTF-8 ends.
std::size_t next_character(std::string_view text, std::size_t at);

/// Whether every byte belongs to a valid sequence.
bool is_utf8(std::string_view text);

/// How many bytes at the end of `text` begin a character and want more to complete it: 0 to 3.
std::size_t incomplete_utf8(std::string_view text);

/// Appends the UTF-8 of `point`, at most U+10FFFF.
void append_utf8(std::string& out, char32_t point);

/// Bytes as text: each maximal piece that no valid sequence begins with becomes one U+FFFD.
std::string to_valid_utf8(std::string_view bytes);

/// Every occurrence of `from` (not empty) in `text` replaced by `to`.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

}  // namespace rota_lm

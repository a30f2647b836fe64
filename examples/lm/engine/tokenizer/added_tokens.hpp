// Added and special tokens: found in a text as they stand, before anything else is done to it.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/config.hpp"

namespace rota_lm {

/// One entry of "added_tokens".
struct added_token {
  std::string content;  ///< 1 to max_pattern_bytes bytes
  token_id id = 0;
  bool lstrip = false;      ///< takes the white space before it
  bool rstrip = false;      ///< takes the white space after it
  bool normalized = false;  ///< is looked for in the normalized text
  bool special = false;     ///< left out by decode when asked
};

/// A stretch of text, or the token that stood there.
struct text_segment {
  std::string_view text;
  std::optional<token_id> token;
};

/// Finds a set of added tokens in texts, leftmost first, the longest at each place. Takes time in
/// proportion to the text, however many tokens there are.
class added_token_finder {
 public:
  added_token_finder() = default;
  /// Of tokens with the same content the first is the one that is found.
  explicit added_token_finder(std::vector<added_token> tokens);

  /// Cuts `text` (valid UTF-8) into tokens and the stretches between, none of them empty.
  std::vector<text_segment> split(std::string_view text) const;

 private:
  const added_token* match(std::string_view text, std::size_t at) const;

  std::vector<added_token> tokens_;            // by content
  std::array<std::size_t, 257> by_lead_ = {};  // where in tokens_ each first byte begins
};

}  // namespace rota_lm

// The word-splitting regular expressions that byte-level models ship, as a hand-written matcher.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rota_lm {

/// The known patterns. qwen2 and llama3 differ in how many digits make a word: 1, and up to 3.
enum class word_pattern { gpt2, qwen2, llama3 };

/// Recognises a pattern by its exact text; nothing for any other.
std::optional<word_pattern> find_word_pattern(std::string_view regex);

/// Splits valid UTF-8 into the matches of `pattern`, which together are the whole text.
std::vector<std::string> split_words(word_pattern pattern, std::string_view text);

}  // namespace rota_lm

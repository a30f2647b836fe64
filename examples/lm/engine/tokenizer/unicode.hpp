// Character classes and the NFC normal form, as the `tokenizers` package has them.
#pragma once

#include <string>
#include <string_view>

namespace rota_lm::unicode {

/// \p{L}
bool is_letter(char32_t c);
/// \p{N}
bool is_number(char32_t c);
/// \s, the property White_Space.
bool is_space(char32_t c);

/// Normal form C of valid UTF-8.
std::string nfc(std::string_view text);

}  // namespace rota_lm::unicode

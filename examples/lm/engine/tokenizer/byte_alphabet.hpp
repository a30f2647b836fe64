// The alphabet of byte-level BPE: each byte stands as one printable character.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace rota_lm {

/// Maps bytes to characters and back. Printable Latin-1 bytes stand for themselves; the others, in
/// ascending order, for the code points from U+0100 on.
class byte_alphabet {
 public:
  static const byte_alphabet& get();

  std::string from_bytes(std::string_view bytes) const;

  /// Nothing when a character of `text` (valid UTF-8) stands for no byte.
  std::optional<std::string> to_bytes(std::string_view text) const;

 private:
  byte_alphabet();

  std::array<char32_t, 256> points_{};
  std::array<int, 0x144> bytes_{};  // 68 bytes are not printable
};

}  // namespace rota_lm

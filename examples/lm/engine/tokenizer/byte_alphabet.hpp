// The alphabet of byte-level BPE: each byte stands as one printable character.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "engine/tokenizer/utf8.hpp"

namespace rota_lm {

/// Maps bytes to characters and back. Printable Latin-1 bytes stand for themselves; the others, in
/// ascending order, for the code points from U+0100 on.
class byte_alphabet {
 public:
  static const byte_alphabet& get() {
    static const byte_alphabet instance;
    return instance;
  }

  std::string from_bytes(std::string_view bytes) const {
    std::string out;
    for (const char c : bytes) append_utf8(out, points_[static_cast<unsigned char>(c)]);
    return out;
  }

  /// Nothing when a character of `text` (valid UTF-8) stands for no byte.
  std::optional<std::string> to_bytes(std::string_view text) const {
    std::string out;
    for (const char32_t c : decode_utf8(text).points) {
      if (c >= bytes_.size() || bytes_[c] < 0) return std::nullopt;
      out += static_cast<char>(bytes_[c]);
    }
    return out;
  }

 private:
  byte_alphabet() {
    bytes_.fill(-1);
    char32_t next = 0x100;
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
      points_[byte] = printable ? static_cast<char32_t>(byte) : next++;
      bytes_[points_[byte]] = static_cast<int>(byte);
    }
  }

  std::array<char32_t, 256> points_{};
  std::array<int, 0x144> bytes_{};  // 68 bytes are not printable
};

}  // namespace rota_lm

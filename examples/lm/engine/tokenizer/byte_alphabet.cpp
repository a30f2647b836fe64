#include "engine/tokenizer/byte_alphabet.hpp"

#include "engine/tokenizer/utf8.hpp"

namespace rota_lm {

const byte_alphabet& byte_alphabet::get() {
  static const byte_alphabet instance;
  return instance;
}

byte_alphabet::byte_alphabet() {
  bytes_.fill(-1);
  char32_t next = 0x100;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
    points_[byte] = printable ? static_cast<char32_t>(byte) : next++;
    bytes_[points_[byte]] = static_cast<int>(byte);
  }
}

std::string byte_alphabet::from_bytes(std::string_view bytes) const {
  std::string out;
  for (const char c : bytes) append_utf8(out, points_[static_cast<unsigned char>(c)]);
  return out;
}

std::optional<std::string> byte_alphabet::to_bytes(std::string_view text) const {
  std::string out;
  for (const char32_t c : decode_utf8(text).points) {
    if (c >= bytes_.size() || bytes_[c] < 0) return std::nullopt;
    out += static_cast<char>(bytes_[c]);
  }
  return out;
}

}  // namespace rota_lm

#include "engine/error.hpp"

namespace rota_lm {

std::string printable(std::string_view text, std::size_t limit) {
  std::string out;
  for (const char c : text.substr(0, limit)) out += (c >= 0x20 && c < 0x7f) ? c : '?';
  if (text.size() > limit) out += "...";
  return out;
}

std::string without_controls(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : ' ');
    const bool wide = c == 0xc2 && next >= 0x80 && next < 0xa0;  // U+0080 to U+009F in UTF-8
    const bool control = wide || c == 0x7f || (c < 0x20 && c != '\n' && c != '\t');
    out += control ? '?' : text[i];
    i += wide ? 1 : 0;
  }
  return out;
}

void fail(std::string_view where, std::string_view what) {
  throw error(printable(where, 600) + ": " + printable(what, 600));
}

}  // namespace rota_lm

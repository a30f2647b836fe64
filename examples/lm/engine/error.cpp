#include "engine/error.hpp"

namespace rota_lm {

std::string printable(std::string_view text, std::size_t limit) {
  std::string out;
  for (const char c : text.substr(0, limit)) out += (c >= 0x20 && c < 0x7f) ? c : '?';
  if (text.size() > limit) out += "...";
  return out;
}

void fail(std::string_view where, std::string_view what) {
  throw error(printable(where, 600) + ": " + printable(what, 600));
}

}  // namespace rota_lm

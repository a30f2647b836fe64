#include "engine/tokenizer/utf8.hpp"

#include "engine/error.hpp"

namespace rota_lm {

namespace {

/// The length of the valid sequence that begins at `at`; 0 when none does. `bad` is then the
/// length of the longest prefix of a valid sequence there, at least 1.
std::size_t utf8_length(std::string_view text, std::size_t at, std::size_t& bad) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const unsigned lead = byte(at);
  bad = 1;
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const std::size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  // The second byte's range keeps out overlong forms, surrogates and what is above U+10FFFF.
  const unsigned low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (byte(at + 1) < low || byte(at + 1) > high) return 0;
  for (bad = 2; bad < length; ++bad) {
    if ((byte(at + bad) & 0xc0) != 0x80) return 0;
  }
  return length;
}

}  // namespace

decoded_text decode_utf8(std::string_view text) {
  decoded_text out;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t bad = 0;
    const std::size_t length = utf8_length(text, at, bad);
    if (length == 0) fail("text", "not valid UTF-8 at byte " + std::to_string(at));
    const auto lead = static_cast<unsigned char>(text[at]);
    char32_t point = length == 1 ? lead : lead & (0x7fu >> length);
    for (std::size_t i = 1; i < length; ++i) {
      point = point << 6 | (static_cast<unsigned char>(text[at + i]) & 0x3fu);
    }
    out.points.push_back(point);
    out.starts.push_back(at);
    at += length;
  }
  out.starts.push_back(text.size());
  return out;
}

std::size_t next_character(std::string_view text, std::size_t at) {
  std::size_t bad = 0;
  return at + utf8_length(text, at, bad);
}

bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    std::size_t bad = 0;
    const std::size_t length = utf8_length(text, at, bad);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

std::size_t incomplete_utf8(std::string_view text) {
  for (std::size_t last = 1; last < 4 && last <= text.size(); ++last) {
    const std::size_t at = text.size() - last;
    const auto lead = static_cast<unsigned char>(text[at]);
    std::size_t bad = 0;
    if (lead >= 0xc2 && lead <= 0xf4 && utf8_length(text, at, bad) == 0 && bad == last) return last;
  }
  return 0;
}

void append_utf8(std::string& out, char32_t point) {
  const auto put = [&](char32_t bits) { out += static_cast<char>(bits); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xc0 | point >> 6);
    put(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    put(0xe0 | point >> 12);
    put(0x80 | (point >> 6 & 0x3f));
    put(0x80 | (point & 0x3f));
  } else {
    put(0xf0 | point >> 18);
    put(0x80 | (point >> 12 & 0x3f));
    put(0x80 | (point >> 6 & 0x3f));
    put(0x80 | (point & 0x3f));
  }
}

std::string to_valid_utf8(std::string_view bytes) {
  std::string out;
  for (std::size_t at = 0; at < bytes.size();) {
    std::size_t bad = 0;
    const std::size_t length = utf8_length(bytes, at, bad);
    if (length != 0) {
      out += bytes.substr(at, length);
    } else {
      out += "\xef\xbf\xbd";
    }
    at += length != 0 ? length : bad;
  }
  return out;
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t hit = text.find(from, at);
    out += text.substr(at, hit - at);
    if (hit == std::string_view::npos) break;
    out += to;
    at = hit + from.size();
  }
  return out;
}

}  // namespace rota_lm

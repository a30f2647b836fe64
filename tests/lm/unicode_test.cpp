// Normal forms and UTF-8, against those of `tokenizers` (tests/goldens/make_text_goldens.py).
#include "engine/tokenizer/unicode.hpp"

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <source_dir.hpp>

#include "engine/json.hpp"
#include "engine/tokenizer/utf8.hpp"

namespace {

using rota_lm::json;
using rota_lm::unicode::nfc;

json golden() {
  return rota_lm::read_json(std::string(rota_own::source_dir()) +
                            "/tests/goldens/text/normal_forms.json");
}

std::string text_of(std::initializer_list<char32_t> points) {
  std::string text;
  for (const char32_t c : points) rota_lm::append_utf8(text, c);
  return text;
}

/// FNV-1a of normal forms, a zero byte after each.
class digest {
 public:
  void add(const std::string& text) {
    const std::string form = nfc(text) + '\0';
    for (const char c : form) value_ = (value_ ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  std::string hex() const {
    std::string out;
    for (int shift = 60; shift >= 0; shift -= 4) out += "0123456789abcdef"[value_ >> shift & 15];
    return out;
  }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325;
};

}  // namespace

TEST_CASE("normal form C") {
  using rota_lm::unicode::nfc;
  CHECK(nfc("plain") == "plain");
  CHECK(nfc("e\u0301") == "\u00e9");
  CHECK(nfc("e\u0323\u0301") == "\u1eb9\u0301");
  CHECK(nfc("e\u0301\u0323") == "\u1eb9\u0301");  // marks are put in order first
  CHECK(nfc("\u212b") == "\u00c5");               // a singleton
  CHECK(nfc("\u0958") == "\u0915\u093c");         // an exclusion
  CHECK(nfc("\u1100\u1161\u11a8") == "\uac01");   // Hangul
  CHECK(nfc("\uac00\u11a8") == "\uac01");
  CHECK(nfc("\u0301a") == "\u0301a");  // nothing before it
  CHECK(nfc("a\u0327\u0301\u0301") == "\u00e1\u0327\u0301");
}

TEST_CASE("normal form C of every code point alone") {
  digest all;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c < 0xd800 || c >= 0xe000) all.add(text_of({c}));
  }
  CHECK(all.hex() == golden().at("code_points"));
}

TEST_CASE("normal form C of every pair of combining marks") {
  const json expected = golden();
  std::vector<char32_t> marks;
  for (const json& run : expected.at("marks")) {
    for (char32_t c = run.at(0); c <= run.at(1); ++c) marks.push_back(c);
  }
  REQUIRE(marks.size() > 900);
  digest all;
  for (const char32_t a : marks) {
    for (const char32_t b : marks) all.add(text_of({U'a', a, b}));
  }
  CHECK(all.hex() == expected.at("pairs_of_marks"));
}

TEST_CASE("marks that `tokenizers` does not know stay where they are") {
  const json expected = golden();
  REQUIRE(expected.at("texts").size() > 90);
  for (const json& pair : expected.at("texts")) {
    CAPTURE(pair.dump());
    CHECK(nfc(pair.at(0).get<std::string>()) == pair.at(1));
  }
}

TEST_CASE("the beginning of a character at the end of a text") {
  using rota_lm::incomplete_utf8;
  for (const std::string whole : {"", "a", "\u00e9", "\u65e5", "\U0001f999"}) {
    CHECK(incomplete_utf8(whole) == 0);
    for (std::size_t size = 1; size < whole.size(); ++size) {
      CHECK(incomplete_utf8("x" + whole.substr(0, size)) == size);
      CHECK(incomplete_utf8(whole.substr(0, size) + "x") == 0);
    }
  }
  for (const std::string_view never :
       {"\xff", "\x80", "\xc0", "\xe0\x80", "\xed\xa0", "\xf4\x90"}) {
    CHECK(incomplete_utf8(never) == 0);
  }
}

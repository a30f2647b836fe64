// Tokenizers: the micro checkpoints' against the reference's ids, small ones made here for the
// settings that those do not use.
#include "engine/tokenizer/tokenizer.hpp"

#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "engine/tokenizer/utf8.hpp"
#include "engine/tokenizer/word_split.hpp"
#include "small_tokenizers.hpp"
#include "temp_folder.hpp"

namespace {

using rota_lm::json;
using rota_lm::token_id;
using rota_lm::tokenizer;
using rota_lm_test::bytes_only;
using rota_lm_test::error_of;
using rota_lm_test::make_tokenizer;
using rota_lm_test::micro;
using rota_lm_test::one_line_with;
using rota_lm_test::sentencepiece;
using ids = std::vector<token_id>;

}  // namespace

TEST_CASE("the micro checkpoints' tokenizers give the reference's ids and text") {
  for (const std::string name : {"qwen2", "qwen3", "mistral", "llama"}) {
    const tokenizer text = tokenizer::load(micro(name));
    const json cases = rota_lm::read_json(micro(name) + "/tokenizer_golden.json");
    REQUIRE(cases.size() > 10);
    for (const json& c : cases) {
      CAPTURE(name);
      CAPTURE(c.dump());
      const ids expected = c.at("ids").get<ids>();
      CHECK(text.encode(c.at("text").get<std::string>()) == expected);
      if (c.contains("decoded")) CHECK(text.decode(expected) == c.at("decoded"));
      if (c.contains("decoded_with_special")) {
        CHECK(text.decode(expected, true) == c.at("decoded_with_special"));
      }
    }
  }
}

TEST_CASE("a sentencepiece-style tokenizer in its newer spelling") {
  const std::string folder = micro("mistral");
  const json document = rota_lm::read_json(folder + "/tokenizer_metaspace.json");
  const tokenizer text = make_tokenizer(document);
  for (const json& c : rota_lm::read_json(folder + "/tokenizer_metaspace_golden.json")) {
    CAPTURE(c.dump());
    CHECK(text.encode(c.at("text").get<std::string>()) == c.at("ids").get<ids>());
  }
}

TEST_CASE("known word patterns split as their regular expressions do") {
  using rota_lm::split_words;
  using rota_lm::word_pattern;
  using words = std::vector<std::string>;
  const std::string text = "I'LL say  \n\n x1234's !?\n ok  ";
  CHECK(split_words(word_pattern::qwen2, text) ==
        words{"I", "'LL", " say", "  \n\n", " x", "1", "2", "3", "4", "'s", " !?\n", " ok", "  "});
  CHECK(split_words(word_pattern::llama3, text) ==
        words{"I", "'LL", " say", "  \n\n", " x", "123", "4", "'s", " !?\n", " ok", "  "});
  CHECK(split_words(word_pattern::gpt2, text) ==
        words{"I", "'", "LL", " say", "  \n\n", " x", "1234", "'s", " !?", "\n", " ok", "  "});
  CHECK(split_words(word_pattern::qwen2, "").empty());
  CHECK(split_words(word_pattern::qwen2, "a\u00a0b\u3000\u0663") ==
        words{"a", "\u00a0b", "\u3000", "\u0663"});
}

TEST_CASE("sentencepiece-style settings") {
  json document = sentencepiece();
  CHECK(make_tokenizer(document).encode("ab") == ids{5});
  CHECK(make_tokenizer(document).encode("xxaxb") == ids{0, 2, 0, 3});  // unknowns in a row are one
  document["model"]["fuse_unk"] = false;
  CHECK(make_tokenizer(document).encode("xxa") == ids{0, 0, 2});
  document["model"]["unk_token"] = nullptr;
  CHECK(one_line_with(error_of([&] { make_tokenizer(document).encode("a\u00e9"); }), "U+00E9"));

  document["normalizer"] = {
      {"type", "Sequence"},
      {"normalizers",
       {{{"type", "Prepend"}, {"prepend", "\u2581"}},
        {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}}}}};
  document["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single", {{{"SpecialToken", {{"id", "<s>"}}}}, {{"Sequence", {{"id", "A"}}}}}},
      {"special_tokens", {{"<s>", {{"ids", {1}}}}}}};
  CHECK(make_tokenizer(document).encode("ab a") == ids{1, 4, 5, 6});
  CHECK(make_tokenizer(document).encode("ab a", false) == ids{4, 5, 6});
  CHECK(make_tokenizer(document).encode("") == ids{1});

  json meta = sentencepiece();
  meta["added_tokens"] = {{{"id", 1}, {"content", "<s>"}, {"special", true}}};
  meta["pre_tokenizer"] = {{"type", "Metaspace"},
                           {"replacement", "\u2581"},
                           {"prepend_scheme", "first"},
                           {"split", false}};
  CHECK(make_tokenizer(meta).encode("a<s>b") == ids{6, 1, 3});
  meta["pre_tokenizer"]["prepend_scheme"] = "always";
  CHECK(make_tokenizer(meta).encode("a<s>b a") == ids{6, 1, 4, 3, 6});
  meta["pre_tokenizer"]["prepend_scheme"] = "never";
  meta["decoder"] = {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "never"}};
  CHECK(make_tokenizer(meta).encode("a a") == ids{2, 6});
  CHECK(make_tokenizer(meta).decode(ids{1, 6, 6}) == " a a");
  CHECK(make_tokenizer(meta).decode(ids{1, 6, 6}, true) == "<s> a a");
}

TEST_CASE("byte fallback, there and back") {
  json document = sentencepiece();
  json& vocab = document["model"]["vocab"];
  vocab["<0xC3>"] = 7;
  vocab["<0xA9>"] = 8;
  document["model"]["byte_fallback"] = true;
  document["decoder"] = {
      {"type", "Sequence"},
      {"decoders",
       {{{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}},
        {{"type", "ByteFallback"}},
        {{"type", "Fuse"}},
        {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}};
  const tokenizer text = make_tokenizer(document);
  CHECK(text.encode("a\u00e9") == ids{2, 7, 8});
  CHECK(text.encode("\u00ea") == ids{0});  // one of its bytes has no token
  CHECK(text.decode(ids{6, 7, 8}) == "a\u00e9");
  CHECK(text.decode(ids{8, 2}) == "\ufffda");
  CHECK(text.decode(ids{4, 6}) == " a");
}

TEST_CASE("byte-level settings") {
  json document = bytes_only();
  document["pre_tokenizer"] = {
      {"type", "ByteLevel"}, {"add_prefix_space", true}, {"use_regex", true}};
  CHECK(make_tokenizer(document).encode("a b") == ids{' ', 'a', ' ', 'b'});
  document["pre_tokenizer"]["add_prefix_space"] = false;
  const tokenizer text = make_tokenizer(document);
  std::string all;
  for (char32_t c = 1; c < 0x3000; c += 7) rota_lm::append_utf8(all, c);
  CHECK(text.decode(text.encode(all)) == all);
  CHECK(text.decode(ids{0xe2, 0x82}) == "\ufffd");  // one piece of a character, one replacement
  CHECK(text.decode(ids{0xff, 0xe2, 'a'}) == "\ufffd\ufffda");
  CHECK(one_line_with(error_of([&] { text.encode("a\xff"); }), "not valid UTF-8 at byte 1"));
  CHECK(one_line_with(error_of([&] { text.encode("\xed\xa0\x80"); }), "not valid UTF-8"));

  document["pre_tokenizer"] = {{"type", "Sequence"},
                               {"pretokenizers",
                                {{{"type", "Digits"}, {"individual_digits", true}},
                                 {{"type", "ByteLevel"}, {"add_prefix_space", true}}}}};
  CHECK(make_tokenizer(document).encode("a12") == ids{' ', 'a', ' ', '1', ' ', '2'});
  document["pre_tokenizer"]["pretokenizers"][0]["individual_digits"] = false;
  CHECK(make_tokenizer(document).encode("a12b") == ids{' ', 'a', ' ', '1', '2', ' ', 'b'});
}

TEST_CASE("added tokens") {
  json document = bytes_only();
  document["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  document["normalizer"] = {{"type", "NFC"}};
  document["added_tokens"] = {
      {{"id", 300}, {"content", "<a>"}, {"special", true}},
      {{"id", 301}, {"content", "<a><b>"}},
      {{"id", 302}, {"content", "<l>"}, {"lstrip", true}},
      {{"id", 303}, {"content", "<r>"}, {"rstrip", true}},
      {{"id", 304}, {"content", "x\u00e9"}, {"normalized", true}},
  };
  const tokenizer text = make_tokenizer(document);
  CHECK(text.encode("x<a>y") == ids{'x', 300, 'y'});
  CHECK(text.encode("<a><b><a><") == ids{301, 300, '<'});
  CHECK(text.encode("x \t<l> y") == ids{'x', 302, ' ', 'y'});
  CHECK(text.encode("x <r>\u2003 y") == ids{'x', ' ', 303, 'y'});
  CHECK(text.encode("xe\u0301") == ids{304});
  CHECK(text.decode(ids{'x', 300, 301}) == "x<a><b>");
  CHECK(text.decode(ids{'x', 300, 301}, true) == "x<a><a><b>");
  CHECK(text.find("<a>") == 300);
  CHECK_FALSE(text.find("<z>").has_value());
  CHECK(text.size() == 305);
  for (const token_id bad : {-1, 299, 305, 1 << 30}) {
    CHECK(one_line_with(error_of([&] { text.decode(ids{bad}); }), "is out of range"));
  }
}

// tokenizer.json files that lie, that ask for what we do not have, and that would cost much memory
// or time; and texts that would.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "small_tokenizers.hpp"

namespace {

using rota_lm::json;
using rota_lm::token_id;
using rota_lm::tokenizer;
using rota_lm_test::bytes_only;
using rota_lm_test::error_of;
using rota_lm_test::make_tokenizer;
using rota_lm_test::one_line_with;
using rota_lm_test::refusal;
using rota_lm_test::sentencepiece;
using ids = std::vector<token_id>;

std::string changed(const char* pointer, const json& value) {
  json document = sentencepiece();
  document[json::json_pointer(pointer)] = value;
  return refusal(document);
}

std::string repeated(const std::string& text, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += text;
  return out;
}

json replace(const std::string& from, const std::string& to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

json sequence(const char* list, const json& step, std::size_t times) {
  json steps = json::array();
  for (std::size_t i = 0; i < times; ++i) steps.push_back(step);
  return {{"type", "Sequence"}, {list, steps}};
}

json added(token_id id, const std::string& content, bool normalized = false) {
  return {{"id", id}, {"content", content}, {"normalized", normalized}};
}

/// Seconds that `work` takes. Bounds on it are wide: they tell linear from quadratic.
template <class Work>
double seconds(Work&& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

TEST_CASE("tokenizers that lie or that we do not have are refused") {
  CHECK(refusal(sentencepiece()).empty());
  CHECK(one_line_with(refusal(json::object()), "no field \"model\""));
  CHECK(one_line_with(changed("/model/type", "Unigram"), "model \"Unigram\" is not supported"));
  CHECK(one_line_with(changed("/model/dropout", 0.1), "dropout"));
  CHECK(one_line_with(changed("/model/end_of_word_suffix", "</w>"), "end_of_word_suffix"));
  CHECK(one_line_with(changed("/model/unk_token", "<none>"), "not in the vocabulary"));
  CHECK(one_line_with(changed("/model/vocab", json::array()), "must be an object"));
  CHECK(one_line_with(changed("/model/vocab/c", 3), "id 3 is given twice"));
  CHECK(one_line_with(changed("/model/vocab/c", -1), "id must be in"));
  CHECK(one_line_with(changed("/model/vocab/c", std::int64_t{1} << 40), "id must be in"));
  CHECK(one_line_with(changed("/model/vocab/c", "1"), "id must be in"));
  for (const json& merge : {json("ab"), json("a b c"), json({"a"}), json(3), json({"a", 3})}) {
    CHECK(one_line_with(changed("/model/merges", json::array({merge})), "is not a pair"));
  }
  CHECK(one_line_with(changed("/model/merges", {"b a"}), "not of vocabulary tokens"));
  CHECK(one_line_with(changed("/normalizer", {{"type", "NFKC"}}), "normalizer \"NFKC\""));
  CHECK(one_line_with(changed("/pre_tokenizer", {{"type", "Whitespace"}}), "\"Whitespace\""));
  CHECK(one_line_with(changed("/pre_tokenizer", {{"type", "Split"},
                                                 {"pattern", {{"Regex", "\\w+"}}},
                                                 {"behavior", "Isolated"},
                                                 {"invert", false}}),
                      "split pattern"));
  CHECK(one_line_with(changed("/post_processor", {{"type", "BertProcessing"}}), "BertProcessing"));
  CHECK(one_line_with(changed("/decoder", {{"type", "WordPiece"}}), "decoder \"WordPiece\""));
  CHECK(one_line_with(
      changed("/post_processor",
              {{"type", "TemplateProcessing"},
               {"single", {{{"SpecialToken", {{"id", "x"}}}}, {{"Sequence", {{"id", "A"}}}}}},
               {"special_tokens", {{"x", {{"ids", {99}}}}}}}),
      "token id 99 is out of range"));
  const auto token = [&](const json& entry) {
    return changed("/added_tokens", json::array({entry}));
  };
  CHECK(one_line_with(token({{"id", 2}, {"content", "new"}}), "already names another"));
  CHECK(one_line_with(token({{"id", 9}, {"content", "a"}}), "already token 2"));
  CHECK(one_line_with(token({{"id", 9}, {"content", ""}}), "without content"));
  CHECK(one_line_with(token({{"id", 9}, {"content", "n"}, {"single_word", true}}), "single_word"));
  CHECK(one_line_with(error_of([] { tokenizer::load("/nonexistent"); }), "cannot open"));
}

TEST_CASE("an added token that normalizes to nothing is refused, by position and content") {
  json document = bytes_only();
  document["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  document["normalizer"] = replace("zz", "");
  document["added_tokens"] = {added(300, "<a>"), added(301, "zzzz", true)};
  const std::string said = refusal(document);
  CHECK(one_line_with(said, "added_tokens[1]"));
  CHECK(one_line_with(said, "\"zzzz\" is nothing once it is normalized"));
  document["added_tokens"][1]["normalized"] = false;
  const tokenizer text = make_tokenizer(document);
  CHECK(text.encode(std::string("a\0zzzz", 6)) == ids{'a', 0, 301});
}

TEST_CASE("parts may make a text 16 times as long, a short one 256 bytes") {
  json document = bytes_only();
  document["pre_tokenizer"] = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  document["normalizer"] = sequence("normalizers", replace("a", "aa"), 40);
  const tokenizer doubling = make_tokenizer(document);
  CHECK(doubling.encode("b") == ids{'b'});  // grows only what it replaces
  const std::string said = error_of([&] { doubling.encode("a"); });
  CHECK(
      one_line_with(said, "tokenizer.json: normalizer: makes 1 bytes of text more than 16 times"));

  document["normalizer"] = sequence("normalizers", replace("a", "aa"), 4);
  CHECK(make_tokenizer(document).encode(std::string(1000, 'a')).size() == 16000);
  document["normalizer"] = replace("a", std::string(256, 'b'));
  CHECK(make_tokenizer(document).encode("a").size() == 256);
  document["normalizer"] = replace("a", std::string(257, 'b'));
  CHECK(one_line_with(error_of([&] { make_tokenizer(document).encode("a"); }), "normalizer"));

  // Each stretch between added tokens is prefixed: the bound is on all of them together.
  document["normalizer"] = {{"type", "Prepend"}, {"prepend", std::string(200, 'p')}};
  document["added_tokens"] = json::array({added(300, "<a>")});
  CHECK(make_tokenizer(document).encode("x").size() == 201);
  const auto many = [&] { make_tokenizer(document).encode(repeated("x<a>", 1000)); };
  CHECK(one_line_with(error_of(many), "normalizer"));

  document = bytes_only();
  const json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  document["pre_tokenizer"] = sequence("pretokenizers", byte_level, 30);
  const auto alphabets = [&] { make_tokenizer(document).encode(std::string(1000, ' ')); };
  CHECK(one_line_with(error_of(alphabets), "tokenizer.json: pre_tokenizer: makes 1000 bytes"));
}

TEST_CASE("decoders are bounded alike, whole and streamed") {
  json document = bytes_only();
  document["decoder"] = sequence("decoders", replace("a", "aa"), 40);
  const tokenizer doubling = make_tokenizer(document);
  CHECK(doubling.decode(ids{'b', 'c'}) == "bc");
  CHECK(one_line_with(error_of([&] { doubling.decode(ids{'a'}); }), "decoder.decoders[8]: makes"));
  document["decoder"] = sequence("decoders", replace("a", "aa"), 4);
  CHECK(make_tokenizer(document).decode(ids(1000, 'a')).size() == 16000);
  // What is dropped again in the end was made all the same.
  document["decoder"]["decoders"] = {replace("a", std::string(100, 'b')), replace("b", "")};
  CHECK(make_tokenizer(document).decode(ids{'a', 'a'}).empty());
  CHECK(
      one_line_with(error_of([&] { make_tokenizer(document).decode(ids(1000, 'a')); }), "decoder"));
}

TEST_CASE("parts of too many steps, long patterns and templates that multiply are refused") {
  const json nfc = {{"type", "NFC"}};
  CHECK(changed("/normalizer", sequence("normalizers", nfc, 256)).empty());
  CHECK(one_line_with(changed("/normalizer", sequence("normalizers", nfc, 257)), "256 steps"));
  const json digits = {{"type", "Digits"}, {"individual_digits", true}};
  CHECK(one_line_with(changed("/pre_tokenizer", sequence("pretokenizers", digits, 257)), "256"));
  const json fuse = {{"type", "Fuse"}};
  CHECK(one_line_with(changed("/decoder", sequence("decoders", fuse, 257)), "decoders[256]"));
  CHECK(changed("/normalizer", replace(std::string(1024, 'a'), "b")).empty());
  CHECK(one_line_with(changed("/normalizer", replace(std::string(1025, 'a'), "b")), "1024"));
  const json longest = json::array({added(9, std::string(1024, 'x'))});
  CHECK(changed("/added_tokens", longest).empty());
  const json longer = json::array({added(9, std::string(1025, 'x'))});
  CHECK(one_line_with(changed("/added_tokens", longer), "added_tokens[0].content"));

  const json mention = {{"SpecialToken", {{"id", "x"}}}};
  json single = json::array({{{"Sequence", {{"id", "A"}}}}});
  for (int i = 0; i < 1000; ++i) single.push_back(mention);
  CHECK(one_line_with(
      changed("/post_processor", {{"type", "TemplateProcessing"},
                                  {"single", single},
                                  {"special_tokens", {{"x", {{"ids", ids(1000, 1)}}}}}}),
      "post_processor: puts more than 1024 tokens"));
}

TEST_CASE("long pieces take time in proportion") {
  json document = sentencepiece();
  const tokenizer text = make_tokenizer(document);
  std::string many;
  for (int i = 0; i < 200000; ++i) many += "ab";
  CHECK(text.encode(many).size() == 200000);
}

TEST_CASE("many added tokens, in the file and in a text, take time in proportion") {
  json document = bytes_only();
  document["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  json& tokens = document["added_tokens"];
  for (token_id i = 0; i < 16000; ++i)
    tokens.push_back(added(300 + i, "<" + std::to_string(i) + ">"));
  CHECK(seconds([&] { make_tokenizer(document); }) < 10);
  const tokenizer text = make_tokenizer(document);
  CHECK(text.encode("<17><170><1700<") == ids{317, 470, '<', '1', '7', '0', '0', '<'});
  CHECK(seconds([&] { text.encode(std::string(1 << 18, '<')); }) < 20);

  // Tokens that are all the same but for their ends, and a text that is like them but for its end.
  tokens = json::array();
  for (token_id i = 0; i < 1000; ++i) {
    tokens.push_back(added(300 + i, std::string(1000, 'a') + std::to_string(i) + "b"));
  }
  const tokenizer alike = make_tokenizer(document);
  CHECK(seconds([&] { alike.encode(std::string(1 << 16, 'a')); }) < 20);
  CHECK(alike.encode(std::string(1001, 'a') + "999b") == ids{'a', 1299});
}

TEST_CASE("tokens that take the white space around them take time in proportion to the text") {
  json document = bytes_only();
  document["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  document["added_tokens"] = {added(300, "<r>"), added(301, "<l>")};
  document["added_tokens"][0]["rstrip"] = true;
  document["added_tokens"][1]["lstrip"] = true;
  const tokenizer text = make_tokenizer(document);
  CHECK(text.encode("<r> \u3000x \t<l>") == ids{300, 'x', 301});
  for (const char* part : {"<r>", "<r>  ", "  <l>", "x<l>"}) {
    CHECK(seconds([&] { text.encode(repeated(part, 100000)); }) < 20);
  }
}

TEST_CASE("runs of one kind take time in proportion: spaces, marks, digits, bytes") {
  json document = bytes_only();
  document["normalizer"] = {{"type", "NFC"}};
  for (const bool regex : {true, false}) {
    document["pre_tokenizer"] = {
        {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", regex}};
    const tokenizer text = make_tokenizer(document);
    for (const char* part : {" ", "\n", " \n", "\u0301", "\u0301\u0323", "1", "'", "a", "\u3000"}) {
      CAPTURE(part);
      CHECK(seconds([&] { text.encode(repeated(part, 100000)); }) < 20);
    }
  }
}

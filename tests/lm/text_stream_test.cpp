// Streamed text is the decoded text: for tokens in any order, after any others.
#include "engine/text_stream.hpp"

#include <algorithm>
#include <cstddef>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <source_dir.hpp>

#include "engine/tokenizer/utf8.hpp"
#include "small_tokenizers.hpp"

namespace {

using rota_lm::is_utf8;
using rota_lm::json;
using rota_lm::text_stream;
using rota_lm::token_id;
using rota_lm::tokenizer;
using rota_lm_test::make_tokenizer;
using rota_lm_test::micro;
using ids = std::vector<token_id>;

json decodings() {
  return rota_lm::read_json(std::string(rota_own::source_dir()) +
                            "/tests/goldens/text/decodings.json");
}

/// All that a stream hands out, each piece checked.
std::string streamed(const tokenizer& text, std::span<const token_id> before,
                     std::span<const token_id> tokens) {
  text_stream stream(text, before);
  std::string all;
  bool whole_characters = true;
  const auto add = [&](const std::string& piece) {
    whole_characters = whole_characters && is_utf8(piece);
    all += piece;
  };
  for (const token_id id : tokens) add(stream.push(id));
  add(stream.finish());
  CHECK(whole_characters);
  return all;
}

/// What `whole` has beyond the characters that it begins with as `known` does.
std::string beyond(const std::string& whole, const std::string& known) {
  std::size_t same = 0;
  while (same < whole.size() && same < known.size() && whole[same] == known[same]) ++same;
  while (same < whole.size() && (whole[same] & 0xc0) == 0x80)
    --same;  // to where a character begins
  return whole.substr(same);
}

/// Every way to cut tokens into those before and those that stream.
void check_all_cuts(const tokenizer& text, const ids& tokens) {
  const std::string whole = text.decode(tokens);
  CHECK(streamed(text, {}, tokens) == whole);
  for (std::size_t cut = 0; cut <= tokens.size(); ++cut) {
    CAPTURE(cut);
    const auto all = std::span(tokens);
    CHECK(streamed(text, all.first(cut), all.subspan(cut)) ==
          beyond(whole, text.decode(all.first(cut))));
  }
}

/// Any token, and often several in a row: the bytes of a character that has no token have
/// neighbouring ids in some of these.
ids random_tokens(const tokenizer& text, std::mt19937& random, std::size_t count) {
  std::vector<token_id> tokens;
  while (tokens.size() < count) {
    const std::size_t first = random() % text.size();
    const std::size_t run = random() % 3 == 0 ? 1 + random() % 4 : 1;
    for (std::size_t i = first; i < std::min(first + run, text.size()); ++i) {
      tokens.push_back(static_cast<token_id>(i));
    }
  }
  return tokens;
}

}  // namespace

TEST_CASE("every form of decoder gives the text that `tokenizers` gives, whole and streamed") {
  const json forms = decodings();
  REQUIRE(forms.size() > 10);
  for (const json& form : forms) {
    CAPTURE(form.at("form").get<std::string>());
    const tokenizer text = make_tokenizer(form.at("tokenizer"));
    for (const json& row : form.at("decoded")) {
      CAPTURE(row.dump());
      const ids tokens = row.at(0).get<ids>();
      CHECK(text.decode(tokens) == row.at(1));
      check_all_cuts(text, tokens);
    }
  }
}

TEST_CASE("random tokens stream as they decode") {
  std::mt19937 random(11);
  std::vector<tokenizer> all;
  for (const json& form : decodings()) all.push_back(make_tokenizer(form.at("tokenizer")));
  for (const char* name : {"qwen2", "qwen3", "mistral", "llama"}) {
    all.push_back(tokenizer::load(micro(name)));
  }
  for (const tokenizer& text : all) {
    for (int round = 0; round < 60; ++round) {
      const ids tokens = random_tokens(text, random, 1 + random() % 40);
      CAPTURE(json(tokens).dump());
      check_all_cuts(text, tokens);
    }
  }
}

TEST_CASE("text that is whole in its tokens streams without replacement characters") {
  const std::string sample = "Na\u00efve caf\u00e9 \U0001f600\U0001f44d, \u65e5\u672c\u8a9e!  two";
  for (const char* name : {"qwen2", "mistral"}) {
    const tokenizer text = tokenizer::load(micro(name));
    text_stream stream(text);
    std::string all;
    for (const token_id id : text.encode(sample)) {
      const std::string fresh = stream.push(id);
      CHECK(fresh.find("\ufffd") == std::string::npos);
      all += fresh;
    }
    CHECK(all + stream.finish() == sample);
  }
}

TEST_CASE("generated text goes on from the prompt's, spaces and all") {
  // The first generated token begins with a space, which both forms of Llama 2's decoder take from
  // the first token of a text.
  json document = rota_lm_test::sentencepiece();
  const json fused = {
      {"type", "Sequence"},
      {"decoders",
       {{{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}},
        {{"type", "ByteFallback"}},
        {{"type", "Fuse"}},
        {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}};
  const json metaspace = {
      {"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "first"}};
  for (const json& form : {fused, metaspace}) {
    document["decoder"] = form;
    const tokenizer text = make_tokenizer(document);
    CHECK(text.decode(ids{6, 6, 6}) == "a a a");
    CHECK(streamed(text, ids{6}, ids{6, 6}) == " a a");
    CHECK(streamed(text, {}, ids{6, 6}) == "a a");
    text_stream stream(text, ids{6});
    CHECK(stream.push(6) == " a");  // at once, not at the end
  }
}

TEST_CASE("replacement characters are text, and what follows them is whole") {
  const tokenizer text = make_tokenizer(rota_lm_test::bytes_only());
  const ids tokens = {0xef, 0xbf, 0xbd, 0xef, 0xbf, 0xbd, 0xf0, 0x9f, 0xa6, 0x99};
  CHECK(streamed(text, {}, tokens) == "\ufffd\ufffd\U0001f999");
  CHECK(streamed(text, ids{0xf0, 0x9f}, ids{0xa6, 0x99}) == "\U0001f999");
  CHECK(streamed(text, ids{0xff}, ids{'a'}) == "a");
}

TEST_CASE("a stream takes time in proportion to its text") {
  for (const json& form : decodings()) {
    CAPTURE(form.at("form").get<std::string>());
    const tokenizer text = make_tokenizer(form.at("tokenizer"));
    std::mt19937 random(3);
    const ids tokens = random_tokens(text, random, 100000);
    CHECK(streamed(text, {}, tokens) == text.decode(tokens));
  }
}

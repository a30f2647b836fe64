// A tokenizer.json made of bytes: its parts are those that real files have, put together as the
// bytes say, now and then wrongly.
#pragma once

#include <array>
#include <string>
#include <vector>

#include <fuzzer/FuzzedDataProvider.h>
#include <nlohmann/json.hpp>

#include "engine/tokenizer/utf8.hpp"

namespace rota_fuzz {

class tokenizer_document {
 public:
  using json = nlohmann::json;

  explicit tokenizer_document(FuzzedDataProvider& bytes) : bytes_(bytes) {}

  json make() {
    json root;
    root["model"] = model();
    if (chance(60)) root["normalizer"] = chain("normalizers", &tokenizer_document::normalizer);
    if (chance(70))
      root["pre_tokenizer"] = chain("pretokenizers", &tokenizer_document::pre_tokenizer);
    if (chance(40)) root["post_processor"] = post_processor();
    if (chance(70)) root["decoder"] = chain("decoders", &tokenizer_document::decoder);
    if (chance(60)) root["added_tokens"] = added_tokens();
    return root;
  }

  /// Pieces that mean something to some part, and raw bytes now and then.
  std::string text() {
    std::string out;
    while (bytes_.remaining_bytes() > 0 && out.size() < 400)
      out += chance(20) ? phrase(2) : spelling();
    return out;
  }

 private:
  using part = json (tokenizer_document::*)();

  bool chance(int percent) { return bytes_.ConsumeIntegralInRange(0, 99) < percent; }
  std::size_t below(std::size_t n) { return bytes_.ConsumeIntegralInRange<std::size_t>(0, n - 1); }

  std::string spelling() {
    using namespace std::string_literals;
    static const std::array<std::string, 35> known = {
        "a",  "b",  "ab", "e",      "A",      "1",      "23",     " ",      "  ",
        "\n", "\t", "\r", "'s",     ".",      "<s>",    "</s>",   "<0x41>", "<0xC3>",
        "▁",  "Ġ",  "Ċ",  "é",      "\u0301", "\u0323", "\u1100", "\u1161", "\u11a8",
        "한", "½",  "ſ",  "\u00a0", "\u3000", "😀",      "\ufffd", "\0"s};
    const std::size_t which = below(known.size() + 3);
    if (which < known.size()) return known[which];
    const std::string raw = bytes_.ConsumeBytesAsString(1 + below(4));
    return which == known.size() ? raw : rota_lm::to_valid_utf8(raw);
  }
  /// Valid UTF-8, since JSON cannot hold anything else; often one that was used before, since what
  /// one part looks for must come from another.
  std::string phrase(std::size_t most) {
    if (!phrases_.empty() && chance(30)) return phrases_[below(phrases_.size())];
    std::string out;
    for (std::size_t n = below(most + 1); n > 0; --n) out += spelling();
    phrases_.push_back(rota_lm::to_valid_utf8(out));
    return phrases_.back();
  }

  json model() {
    json out = {{"type", "BPE"}};
    std::vector<std::string> tokens;
    if (chance(8)) add_byte_alphabet(tokens);
    if (chance(8)) add_byte_tokens(tokens);
    for (std::size_t n = below(24); n > 0; --n) tokens.push_back(phrase(2));
    json merges = json::array();
    for (std::size_t n = tokens.empty() ? 0 : below(12); n > 0; --n) {
      const std::string left = tokens[below(tokens.size())];
      const std::string right = tokens[below(tokens.size())];
      if (chance(95)) tokens.push_back(left + right);
      merges.push_back(chance(50) ? json(left + " " + right) : json({left, right}));
    }
    json vocab = json::object();
    for (const std::string& token : tokens)
      if (!vocab.contains(token)) vocab[token] = chance(98) ? vocab.size() : below(3000);
    out["vocab"] = vocab;
    out["merges"] = merges;
    if (chance(80)) out["unk_token"] = tokens.empty() ? "" : tokens[below(tokens.size())];
    for (const char* key : {"fuse_unk", "byte_fallback", "ignore_merges"})
      if (chance(50)) out[key] = chance(50);
    return out;
  }
  static void add_byte_alphabet(std::vector<std::string>& tokens) {
    for (char32_t c = 0x21; c < 0x144; ++c) {
      std::string token;
      rota_lm::append_utf8(token, c);
      tokens.push_back(token);
    }
  }
  static void add_byte_tokens(std::vector<std::string>& tokens) {
    for (int byte = 0; byte < 256; ++byte) {
      std::array<char, 8> name = {};
      std::snprintf(name.data(), name.size(), "<0x%02X>", static_cast<unsigned>(byte));
      tokens.emplace_back(name.data());
    }
  }

  /// One part, or a sequence of some.
  json chain(const char* list, part one, int depth = 0) {
    if (chance(50)) return (this->*one)();
    json steps = json::array();
    for (std::size_t n = chance(10) ? below(20) : below(5); n > 0; --n)
      steps.push_back(depth < 2 && chance(10) ? chain(list, one, depth + 1) : (this->*one)());
    return {{"type", "Sequence"}, {list, steps}};
  }

  json replace() {
    return {{"type", "Replace"}, {"pattern", {{"String", phrase(2)}}}, {"content", phrase(8)}};
  }
  json normalizer() {
    switch (below(4)) {
      case 0:
        return {{"type", "NFC"}};
      case 1:
        return {{"type", "Prepend"}, {"prepend", phrase(2)}};
      case 2:
        return {{"type", chance(50) ? "Lowercase" : "NFKC"}};
      default:
        return replace();
    }
  }
  json metaspace() {
    static const std::array<const char*, 4> schemes = {"always", "first", "never", "often"};
    json out = {{"type", "Metaspace"}, {"replacement", chance(80) ? "▁" : phrase(1)}};
    if (chance(50)) out["prepend_scheme"] = schemes[below(schemes.size())];
    if (chance(50)) out["add_prefix_space"] = chance(50);
    if (chance(50)) out["split"] = chance(50);
    return out;
  }
  json pre_tokenizer() {
    switch (below(4)) {
      case 0:
        return split();
      case 1:
        return {{"type", "ByteLevel"}, {"add_prefix_space", chance(50)}, {"use_regex", chance(50)}};
      case 2:
        return {{"type", "Digits"}, {"individual_digits", chance(50)}};
      default:
        return metaspace();
    }
  }
  json split() {
    static const std::array<const char*, 3> patterns = {
        R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};
    const bool invert = chance(30);
    return {{"type", "Split"},
            {"pattern", {{"Regex", patterns[below(patterns.size())]}}},
            {"behavior", invert ? "Removed" : "Isolated"},
            {"invert", invert}};
  }
  json post_processor() {
    json single = json::array(), ids = json::array();
    for (std::size_t n = below(3); n > 0; --n) ids.push_back(below(40));
    if (chance(70)) single.push_back({{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}});
    if (chance(95)) single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
    if (chance(30)) single.push_back({{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}});
    json out = {{"type", "TemplateProcessing"}, {"single", single}};
    out["special_tokens"]["<s>"]["ids"] = ids;
    if (chance(50)) return out;
    return {{"type", "Sequence"}, {"processors", {{{"type", "ByteLevel"}}, out}}};
  }
  json decoder() {
    switch (below(6)) {
      case 0:
        return {{"type", "ByteLevel"}};
      case 1:
        return {{"type", "ByteFallback"}};
      case 2:
        return {{"type", "Fuse"}};
      case 3:
        return {{"type", "Strip"},
                {"content", chance(80) ? " " : phrase(1)},
                {"start", below(3)},
                {"stop", below(3)}};
      case 4:
        return metaspace();
      default:
        return replace();
    }
  }
  json added_tokens() {
    json list = json::array();
    for (std::size_t n = below(6); n > 0; --n) {
      json token = {{"id", below(600)}, {"content", phrase(2)}};
      for (const char* key : {"lstrip", "rstrip", "normalized", "special"}) token[key] = chance(40);
      list.push_back(token);
    }
    return list;
  }

  FuzzedDataProvider& bytes_;
  std::vector<std::string> phrases_;
};

}  // namespace rota_fuzz

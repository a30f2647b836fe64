// Tokenizers made for tests: small documents whose ids are plain to see.
#pragma once

#include <string>

#include <nlohmann/json.hpp>
#include <source_dir.hpp>

#include "engine/json.hpp"
#include "engine/tokenizer/byte_alphabet.hpp"
#include "engine/tokenizer/tokenizer.hpp"
#include "temp_folder.hpp"

namespace rota_lm_test {

using rota_lm::json;

inline std::string micro(const std::string& name) {
  return std::string(rota_own::source_dir()) + "/tests/goldens/micro/" + name;
}

inline rota_lm::tokenizer make_tokenizer(const json& document) {
  return rota_lm::tokenizer(rota_lm::json_field(document, "tokenizer.json"));
}
inline std::string refusal(const json& document) {
  return error_of([&] { make_tokenizer(document); });
}

/// A sentencepiece-style model: pieces are whole texts, spaces are U+2581.
inline json sentencepiece() {
  json vocab = {{"<unk>", 0},  {"<s>", 1}, {"a", 2},      {"b", 3},
                {"\u2581", 4}, {"ab", 5},  {"\u2581a", 6}};
  return {{"model",
           {{"type", "BPE"},
            {"unk_token", "<unk>"},
            {"fuse_unk", true},
            {"byte_fallback", false},
            {"vocab", vocab},
            {"merges", {"a b", "\u2581 a"}}}}};
}

/// A byte-level model without merges: every byte is a token, its id the byte.
inline json bytes_only() {
  json vocab = json::object();
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    vocab[rota_lm::byte_alphabet::get().from_bytes({&c, 1})] = byte;
  }
  return {{"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", json::array()}}},
          {"decoder", {{"type", "ByteLevel"}}}};
}

}  // namespace rota_lm_test

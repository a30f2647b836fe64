// A tokenizer.json out of known parts, then a text to tokens and back. What is looked for: crashes,
// exceptions of other kinds, time and memory out of proportion, ids that no token has, and decoded
// text that is not UTF-8.
#include "engine/tokenizer/tokenizer.hpp"

#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "fuzz/target.hpp"
#include "fuzz/tokenizer_document.hpp"

namespace {

using rota_fuzz::refused;
using rota_fuzz::require;
using namespace rota_lm;

void there_and_back(const tokenizer& tokens, const std::string& text, bool framed) {
  const std::vector<token_id> ids = tokens.encode(text, framed);
  require(is_utf8(text), "only UTF-8 is encoded");
  for (const token_id id : ids)
    require(id >= 0 && static_cast<std::size_t>(id) < tokens.size(), "an id names a token");
  for (const bool with_special : {false, true})
    require(is_utf8(tokens.decode(ids, with_special)), "decoded text is UTF-8");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider bytes(data, size);
  rota_fuzz::tokenizer_document parts(bytes);
  const json document = parts.make();
  const std::string text = parts.text();
  refused([&] {
    const tokenizer tokens(json_field(document, "tokenizer.json"));
    refused([&] { there_and_back(tokens, text, true); });
    refused([&] { there_and_back(tokens, text, false); });
    refused([&] { tokens.encode(""); });
    const token_id none[] = {static_cast<token_id>(tokens.size())};
    require(refused([&] { tokens.decode(none); }), "an id of no token is refused");
  });
  return 0;
}

// The decoder section of tokenizer.json: how the spellings of tokens become text again.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/json.hpp"
#include "engine/tokenizer/bounds.hpp"
#include "engine/tokenizer/decode_steps.hpp"

namespace rota_lm {

/// ByteLevel, Replace (of a literal), ByteFallback, Fuse, Strip, Metaspace and sequences of them;
/// others are refused by name. Decodes one text, token by token; each text needs a copy of its own
/// of a decoder that has seen none.
class decoder {
 public:
  /// The decoder of files that have none: tokens with spaces between.
  decoder();
  explicit decoder(const json_field& field);

  /// Takes the next token and gives out the text that no later token can change: whole characters,
  /// often a word, sometimes nothing. Throws when the text grows beyond all reason.
  std::string push(const std::string& spelling);

  /// The rest of the text. Nothing can follow.
  std::string finish();

 private:
  /// A step, and how much it made of the tokens so far.
  struct bounded_step {
    decode_steps::step step;
    growth_bound bound;
  };

  void read(const json_field& field);
  void add(decode_steps::step step, const json_field& field);
  std::string run(decode_steps::token_parts parts, bool finishes);

  std::vector<bounded_step> steps_;
};

}  // namespace rota_lm

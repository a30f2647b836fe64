// tokenizer.json as a whole: text to token ids and back.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/config.hpp"
#include "engine/json.hpp"
#include "engine/tokenizer/added_tokens.hpp"
#include "engine/tokenizer/bpe.hpp"
#include "engine/tokenizer/decoder.hpp"
#include "engine/tokenizer/normalizer.hpp"
#include "engine/tokenizer/post_processor.hpp"
#include "engine/tokenizer/pre_tokenizer.hpp"

namespace rota_lm {

/// A tokenizer of the byte-level or the sentencepiece style. Immutable, so safe to share between
/// threads. The file's truncation and padding are not applied: they are settings of a training
/// run, not of the text.
class tokenizer {
 public:
  /// Reads tokenizer.json in folder `directory`. Throws, naming file and field, when it lies, or
  /// asks for what is not supported.
  static tokenizer load(const std::string& directory);

  /// Reads the document of a tokenizer.json.
  explicit tokenizer(const json_field& root);

  /// One more than the largest token id.
  std::size_t size() const { return tokens_.size(); }

  /// The id of a token by its spelling, added tokens included.
  std::optional<token_id> find(std::string_view token) const;

  /// The tokens of `text`, framed by the post-processor's special tokens unless `framed` is false.
  /// Throws when the text is not valid UTF-8 or has what the vocabulary cannot spell.
  std::vector<token_id> encode(std::string_view text, bool framed = true) const;

  /// The text of `ids`, special tokens left out unless asked for. Always valid UTF-8. Throws on an
  /// id that is no token.
  std::string decode(std::span<const token_id> ids, bool with_special = false) const;

  /// For decoding token by token: a decoder that has seen none, and how each token is spelled for
  /// it; nullptr for a special token. Throws on an id that is no token.
  decoder new_decoder() const { return decode_; }
  const std::string* spelling(token_id id, bool with_special = false) const;

 private:
  struct entry {
    std::string text;
    bool special = false;
  };

  /// Bounds on what the parts make of one text.
  struct text_bounds {
    growth_bound normalized;
    growth_bound pieces;
  };

  const entry& at(token_id id) const;
  void place(token_id id, entry token, const std::string& where);
  void read_added(const json_field& list);
  void normalize_content(added_token& token, const json_field& field) const;
  void encode_stretch(std::string_view text, bool first, text_bounds& bounds,
                      std::vector<token_id>& ids) const;

  bpe model_;
  normalizer normalize_;
  pre_tokenizer pre_tokenize_;
  post_processor frame_;
  decoder decode_;
  added_token_finder raw_added_;
  added_token_finder normalized_added_;
  std::vector<std::optional<entry>> tokens_;
  std::map<std::string, token_id, std::less<>> added_ids_;
};

}  // namespace rota_lm

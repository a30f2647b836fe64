// tokenizer.json as a whole: text to token ids and back.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/config.hpp"
#include "engine/error.hpp"
#include "engine/json.hpp"
#include "engine/tokenizer/added_tokens.hpp"
#include "engine/tokenizer/bpe.hpp"
#include "engine/tokenizer/decoder.hpp"
#include "engine/tokenizer/normalizer.hpp"
#include "engine/tokenizer/post_processor.hpp"
#include "engine/tokenizer/pre_tokenizer.hpp"
#include "engine/tokenizer/utf8.hpp"

namespace rota_lm {

/// A tokenizer of the byte-level or the sentencepiece style. Immutable, so safe to share between
/// threads. The file's truncation and padding are not applied: they are settings of a training
/// run, not of the text.
class tokenizer {
 public:
  /// Reads tokenizer.json in folder `directory`.
  static tokenizer load(const std::string& directory) {
    const std::string path = directory + "/tokenizer.json";
    const json document = read_json(path, {std::size_t{256} << 20, 32});
    return tokenizer(json_field(document, path));
  }

  explicit tokenizer(const json_field& root) : model_(root.at("model")) {
    if (const auto field = root.find("normalizer")) normalize_ = normalizer(*field);
    if (const auto field = root.find("pre_tokenizer")) pre_tokenize_ = pre_tokenizer(*field);
    if (const auto field = root.find("post_processor")) frame_ = post_processor(*field);
    if (const auto field = root.find("decoder")) decode_ = decoder(*field);
    for (const auto& [token, id] : model_.vocabulary()) {
      place(id, {token, false}, "vocabulary");
    }
    if (const auto list = root.find("added_tokens")) {
      if (list->size() > max_added_tokens) fail(list->where(), "too many added tokens");
      for (std::size_t i = 0; i < list->size(); ++i) read_added(list->at(i));
    }
    for (const token_id id : frame_.ids()) check_id(id);
  }

  /// One more than the largest token id.
  std::size_t size() const { return tokens_.size(); }

  /// The id of a token by its spelling, added tokens included.
  std::optional<token_id> find(std::string_view token) const {
    const auto added = added_ids_.find(token);
    if (added != added_ids_.end()) return added->second;
    return model_.find(token);
  }

  /// The tokens of `text`, framed by the post-processor's special tokens unless `framed` is false.
  /// Throws when the text is not valid UTF-8 or has what the vocabulary cannot spell.
  std::vector<token_id> encode(std::string_view text, bool framed = true) const {
    if (!is_utf8(text)) decode_utf8(text);  // says where
    std::vector<token_id> ids;
    bool first = true;
    for (const text_segment& segment : raw_added_.split(text)) {
      if (segment.token) {
        ids.push_back(*segment.token);
      } else {
        encode_stretch(segment.text, first, ids);
      }
      first = false;
    }
    if (framed) frame_.apply(ids);
    return ids;
  }

  /// The text of `ids`, special tokens left out unless asked for. Always valid UTF-8. Throws on an
  /// id that is no token.
  std::string decode(std::span<const token_id> ids, bool with_special = false) const {
    std::vector<std::string> spellings;
    for (const token_id id : ids) {
      check_id(id);
      const entry& token = *tokens_[static_cast<std::size_t>(id)];
      if (with_special || !token.special) spellings.push_back(token.text);
    }
    return decode_(std::move(spellings));
  }

 private:
  static constexpr std::size_t max_added_tokens = 1 << 14;

  struct entry {
    std::string text;
    bool special = false;
  };

  void check_id(token_id id) const {
    if (id < 0 || static_cast<std::size_t>(id) >= tokens_.size() ||
        !tokens_[static_cast<std::size_t>(id)]) {
      fail("tokenizer", "token id " + std::to_string(id) + " is out of range, there are " +
                            std::to_string(tokens_.size()));
    }
  }

  void place(token_id id, entry token, const std::string& where) {
    const auto at = static_cast<std::size_t>(id);
    if (at >= tokens_.size()) tokens_.resize(at + 1);
    if (tokens_[at] && tokens_[at]->text != token.text) {
      fail(where, "id " + std::to_string(id) + " already names another token");
    }
    tokens_[at] = std::move(token);
  }

  void read_added(const json_field& field) {
    const auto flag = [&](const char* key) {
      const auto value = field.find(key);
      return value && value->boolean();
    };
    added_token token;
    token.content = field.at("content").string();
    token.id = static_cast<token_id>(field.at("id").integer(0, bpe::max_id));
    token.lstrip = flag("lstrip");
    token.rstrip = flag("rstrip");
    token.normalized = flag("normalized");
    token.special = flag("special");
    if (flag("single_word")) fail(field.where(), "single_word is not supported");
    if (token.content.empty()) fail(field.where(), "an added token without content");
    if (const auto known = find(token.content); known && *known != token.id) {
      fail(field.where(), "content is already token " + std::to_string(*known));
    }
    place(token.id, {token.content, token.special}, field.where());
    added_ids_.emplace(token.content, token.id);
    if (token.normalized) {
      token.content = normalize_(token.content);
      normalized_added_.insert(std::move(token));
    } else {
      raw_added_.insert(std::move(token));
    }
  }

  /// A stretch between added tokens; `first` when it begins the input.
  void encode_stretch(std::string_view text, bool first, std::vector<token_id>& ids) const {
    const std::string normal = normalize_(text);
    for (const text_segment& segment : normalized_added_.split(normal)) {
      if (segment.token) {
        ids.push_back(*segment.token);
      } else {
        for (const text_piece& piece : pre_tokenize_({std::string(segment.text), first})) {
          model_.encode(piece.text, ids);
        }
      }
      first = false;
    }
  }

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

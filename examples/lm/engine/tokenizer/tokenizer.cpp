#include "engine/tokenizer/tokenizer.hpp"

#include <utility>

#include "engine/error.hpp"
#include "engine/tokenizer/utf8.hpp"

namespace rota_lm {

namespace {

constexpr std::size_t max_added_tokens = 1 << 14;

/// One entry of "added_tokens", checked on its own.
added_token read_added_token(const json_field& field) {
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
  return token;
}

}  // namespace

tokenizer tokenizer::load(const std::string& directory) {
  const std::string path = directory + "/tokenizer.json";
  const json document = read_json(path, {std::size_t{256} << 20, 32});
  return tokenizer(json_field(document, path));
}

tokenizer::tokenizer(const json_field& root) : model_(root.at("model")) {
  if (const auto field = root.find("normalizer")) normalize_ = normalizer(*field);
  if (const auto field = root.find("pre_tokenizer")) pre_tokenize_ = pre_tokenizer(*field);
  if (const auto field = root.find("post_processor")) frame_ = post_processor(*field);
  if (const auto field = root.find("decoder")) decode_ = decoder(*field);
  for (const auto& [token, id] : model_.vocabulary()) place(id, {token, false}, "vocabulary");
  if (const auto list = root.find("added_tokens")) {
    if (list->size() > max_added_tokens) fail(list->where(), "too many added tokens");
    for (std::size_t i = 0; i < list->size(); ++i) read_added(list->at(i));
  }
  for (const token_id id : frame_.ids()) check_id(id);
}

std::optional<token_id> tokenizer::find(std::string_view token) const {
  const auto added = added_ids_.find(token);
  if (added != added_ids_.end()) return added->second;
  return model_.find(token);
}

std::vector<token_id> tokenizer::encode(std::string_view text, bool framed) const {
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

std::string tokenizer::decode(std::span<const token_id> ids, bool with_special) const {
  std::vector<std::string> spellings;
  for (const token_id id : ids) {
    check_id(id);
    const entry& token = *tokens_[static_cast<std::size_t>(id)];
    if (with_special || !token.special) spellings.push_back(token.text);
  }
  return decode_(std::move(spellings));
}

void tokenizer::check_id(token_id id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= tokens_.size() ||
      !tokens_[static_cast<std::size_t>(id)]) {
    fail("tokenizer", "token id " + std::to_string(id) + " is out of range, there are " +
                          std::to_string(tokens_.size()));
  }
}

void tokenizer::place(token_id id, entry token, const std::string& where) {
  const auto at = static_cast<std::size_t>(id);
  if (at >= tokens_.size()) tokens_.resize(at + 1);
  if (tokens_[at] && tokens_[at]->text != token.text) {
    fail(where, "id " + std::to_string(id) + " already names another token");
  }
  tokens_[at] = std::move(token);
}

void tokenizer::read_added(const json_field& field) {
  added_token token = read_added_token(field);
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
void tokenizer::encode_stretch(std::string_view text, bool first,
                               std::vector<token_id>& ids) const {
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

}  // namespace rota_lm

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
  check_pattern(field.at("content"), token.content.size());
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
  if (const auto list = root.find("added_tokens")) read_added(*list);
  for (const token_id id : frame_.ids()) at(id);
}

std::optional<token_id> tokenizer::find(std::string_view token) const {
  const auto added = added_ids_.find(token);
  if (added != added_ids_.end()) return added->second;
  return model_.find(token);
}

std::vector<token_id> tokenizer::encode(std::string_view text, bool framed) const {
  if (!is_utf8(text)) decode_utf8(text);  // says where
  std::vector<token_id> ids;
  text_bounds bounds{normalize_.bound(text.size()), pre_tokenize_.bound(text.size())};
  bool first = true;
  for (const text_segment& segment : raw_added_.split(text)) {
    if (segment.token) {
      ids.push_back(*segment.token);
    } else {
      encode_stretch(segment.text, first, bounds, ids);
    }
    first = false;
  }
  if (framed) frame_.apply(ids);
  return ids;
}

std::string tokenizer::decode(std::span<const token_id> ids, bool with_special) const {
  decoder decode = new_decoder();
  std::string text;
  for (const token_id id : ids) {
    if (const std::string* token = spelling(id, with_special)) text += decode.push(*token);
  }
  return text + decode.finish();
}

const std::string* tokenizer::spelling(token_id id, bool with_special) const {
  const entry& token = at(id);
  return token.special && !with_special ? nullptr : &token.text;
}

const tokenizer::entry& tokenizer::at(token_id id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= tokens_.size() ||
      !tokens_[static_cast<std::size_t>(id)]) {
    fail("tokenizer", "token id " + std::to_string(id) + " is out of range, there are " +
                          std::to_string(tokens_.size()));
  }
  return *tokens_[static_cast<std::size_t>(id)];
}

void tokenizer::place(token_id id, entry token, const std::string& where) {
  const auto at = static_cast<std::size_t>(id);
  if (at >= tokens_.size()) tokens_.resize(at + 1);
  if (tokens_[at] && tokens_[at]->text != token.text) {
    fail(where, "id " + std::to_string(id) + " already names another token");
  }
  tokens_[at] = std::move(token);
}

void tokenizer::read_added(const json_field& list) {
  if (list.size() > max_added_tokens) {
    fail(list.where(), "has " + std::to_string(list.size()) + " tokens, at most " +
                           std::to_string(max_added_tokens) + " are supported");
  }
  std::vector<added_token> raw, normalized;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const json_field field = list.at(i);
    added_token token = read_added_token(field);
    if (const auto known = find(token.content); known && *known != token.id) {
      fail(field.where(), "content is already token " + std::to_string(*known));
    }
    place(token.id, {token.content, token.special}, field.where());
    added_ids_.emplace(token.content, token.id);
    if (token.normalized) normalize_content(token, field);
    (token.normalized ? normalized : raw).push_back(std::move(token));
  }
  raw_added_ = added_token_finder(std::move(raw));
  normalized_added_ = added_token_finder(std::move(normalized));
}

/// Spells a token as it is looked for: in normalized text.
void tokenizer::normalize_content(added_token& token, const json_field& field) const {
  growth_bound bound = normalize_.bound(token.content.size());
  std::string content = normalize_(token.content, bound);
  if (content.empty()) {
    fail(field.where(), "content \"" + printable(token.content, 80) +
                            "\" is nothing once it is normalized: set \"normalized\" to false");
  }
  check_pattern(field.at("content"), content.size());
  token.content = std::move(content);
}

/// A stretch between added tokens; `first` when it begins the input.
void tokenizer::encode_stretch(std::string_view text, bool first, text_bounds& bounds,
                               std::vector<token_id>& ids) const {
  const std::string normal = normalize_(text, bounds.normalized);
  for (const text_segment& segment : normalized_added_.split(normal)) {
    if (segment.token) {
      ids.push_back(*segment.token);
    } else {
      for (const text_piece& piece :
           pre_tokenize_({std::string(segment.text), first}, bounds.pieces)) {
        model_.encode(piece.text, ids);
      }
    }
    first = false;
  }
}

}  // namespace rota_lm

#include "engine/tokenizer/pre_tokenizer.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "engine/error.hpp"
#include "engine/tokenizer/byte_alphabet.hpp"
#include "engine/tokenizer/unicode.hpp"
#include "engine/tokenizer/utf8.hpp"

namespace rota_lm {

namespace {

void add(std::vector<std::string> parts, bool first, std::vector<text_piece>& out) {
  for (std::string& part : parts) {
    if (part.empty()) continue;
    out.push_back({std::move(part), first});
    first = false;
  }
}

std::size_t total_bytes(const std::vector<text_piece>& pieces) {
  std::size_t bytes = 0;
  for (const text_piece& p : pieces) bytes += p.text.size();
  return bytes;
}

}  // namespace

prepend_scheme read_prepend_scheme(const json_field& metaspace) {
  const auto scheme = metaspace.find("prepend_scheme");
  if (!scheme) {
    const auto add_space = metaspace.find("add_prefix_space");
    return !add_space || add_space->boolean() ? prepend_scheme::always : prepend_scheme::never;
  }
  if (scheme->string() == "always") return prepend_scheme::always;
  if (scheme->string() == "first") return prepend_scheme::first;
  if (scheme->string() == "never") return prepend_scheme::never;
  fail(scheme->where(), "is \"" + printable(scheme->string(), 40) +
                            "\", must be \"always\", \"first\" or \"never\"");
}

pre_tokenizer::pre_tokenizer(const json_field& field) : where_(field.where()) {
  read(field);
}

std::vector<text_piece> pre_tokenizer::operator()(text_piece piece, growth_bound& bound) const {
  std::vector<text_piece> pieces;
  pieces.push_back(std::move(piece));
  for (const auto& step : steps_) {
    std::vector<text_piece> finer;
    for (const text_piece& p : pieces) {
      std::visit([&](const auto& s) { add(s.apply(p), p.first, finer); }, step);
    }
    pieces = std::move(finer);
    bound.check(total_bytes(pieces));  // no step makes a text more than four times as long
  }
  if (!steps_.empty()) bound.make(total_bytes(pieces));
  return pieces;
}

pre_tokenizer::texts pre_tokenizer::words::apply(const text_piece& p) const {
  return split_words(pattern, p.text);
}

pre_tokenizer::texts pre_tokenizer::byte_level::apply(const text_piece& p) const {
  const bool prefix = add_prefix_space && p.text.front() != ' ';
  const std::string text = prefix ? " " + p.text : p.text;
  texts out = use_regex ? split_words(word_pattern::gpt2, text) : texts{text};
  for (std::string& t : out) t = byte_alphabet::get().from_bytes(t);
  return out;
}

pre_tokenizer::texts pre_tokenizer::digits::apply(const text_piece& p) const {
  const decoded_text decoded = decode_utf8(p.text);
  texts out;
  bool inside = false;  // of a run of what the last code point was
  bool was_digit = false;
  for (std::size_t i = 0; i < decoded.points.size(); ++i) {
    const bool digit = unicode::is_number(decoded.points[i]);
    if (!inside || digit != was_digit || (digit && individual)) out.emplace_back();
    out.back().append(p.text, decoded.starts[i], decoded.starts[i + 1] - decoded.starts[i]);
    inside = true;
    was_digit = digit;
  }
  return out;
}

pre_tokenizer::texts pre_tokenizer::metaspace::apply(const text_piece& p) const {
  std::string text = replace_all(p.text, " ", mark);
  const bool wanted =
      scheme == prepend_scheme::always || (scheme == prepend_scheme::first && p.first);
  if (wanted && !text.starts_with(mark)) text.insert(0, mark);
  if (!split) return {text};
  texts out;  // a mark begins a piece
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t next = std::min(text.find(mark, at + 1), text.size());
    out.push_back(text.substr(at, next - at));
    at = next;
  }
  return out;
}

void pre_tokenizer::read(const json_field& field) {
  const std::string& type = field.at("type").string();
  if (type == "Sequence") {
    const json_field list = field.at("pretokenizers");
    for (std::size_t i = 0; i < list.size(); ++i) read(list.at(i));
    return;
  }
  if (type == "Split") {
    steps_.emplace_back(read_split(field));
  } else if (type == "ByteLevel") {
    const auto regex = field.find("use_regex");
    steps_.emplace_back(
        byte_level{field.at("add_prefix_space").boolean(), !regex || regex->boolean()});
  } else if (type == "Digits") {
    steps_.emplace_back(digits{field.at("individual_digits").boolean()});
  } else if (type == "Metaspace") {
    steps_.emplace_back(read_metaspace(field));
  } else {
    fail(field.where(), "pre-tokenizer \"" + printable(type, 40) + "\" is not supported");
  }
  check_step_count(field, steps_.size());
}

pre_tokenizer::words pre_tokenizer::read_split(const json_field& field) {
  const json_field pattern = field.at("pattern");
  const auto regex = pattern.find("Regex");
  const auto known = regex ? find_word_pattern(regex->string()) : std::nullopt;
  if (!known) {
    fail(pattern.where(), "split pattern " + pattern.value().dump(-1, ' ', true) +
                              " is not one of those supported (GPT-2, Qwen2, Llama 3)");
  }
  // These patterns match every character, so that removing what lies between the matches, which
  // is nothing, is the same as isolating the matches.
  const std::string& behavior = field.at("behavior").string();
  const bool invert = field.at("invert").boolean();
  if (behavior != (invert ? "Removed" : "Isolated")) {
    fail(field.where(), "split behavior \"" + printable(behavior, 40) + "\" is not supported");
  }
  return {*known};
}

pre_tokenizer::metaspace pre_tokenizer::read_metaspace(const json_field& field) {
  const auto split = field.find("split");
  metaspace m{field.at("replacement").string(), read_prepend_scheme(field),
              !split || split->boolean()};
  if (decode_utf8(m.mark).points.size() != 1) {
    fail(field.where(), "replacement must be one character");
  }
  return m;
}

}  // namespace rota_lm

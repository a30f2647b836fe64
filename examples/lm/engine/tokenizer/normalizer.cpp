#include "engine/tokenizer/normalizer.hpp"

#include <cstddef>

#include "engine/error.hpp"
#include "engine/tokenizer/unicode.hpp"
#include "engine/tokenizer/utf8.hpp"

namespace rota_lm {

std::string literal_pattern(const json_field& step) {
  const json_field pattern = step.at("pattern");
  const auto literal = pattern.find("String");
  if (!literal) fail(pattern.where(), "only String patterns are supported here");
  if (literal->string().empty()) fail(literal->where(), "is empty");
  return literal->string();
}

normalizer::normalizer(const json_field& field) {
  read(field);
}

std::string normalizer::operator()(std::string_view text) const {
  std::string out(text);
  for (const auto& step : steps_) {
    out = std::visit([&](const auto& s) { return s.apply(out); }, step);
  }
  return out;
}

std::string normalizer::nfc::apply(const std::string& text) const {
  return unicode::nfc(text);
}

std::string normalizer::prepend::apply(const std::string& text) const {
  return text.empty() ? text : prefix + text;
}

std::string normalizer::replace::apply(const std::string& text) const {
  return replace_all(text, from, to);
}

void normalizer::read(const json_field& field) {
  const std::string& type = field.at("type").string();
  if (type == "Sequence") {
    const json_field list = field.at("normalizers");
    for (std::size_t i = 0; i < list.size(); ++i) read(list.at(i));
  } else if (type == "NFC") {
    steps_.emplace_back(nfc{});
  } else if (type == "Prepend") {
    steps_.emplace_back(prepend{field.at("prepend").string()});
  } else if (type == "Replace") {
    steps_.emplace_back(replace{literal_pattern(field), field.at("content").string()});
  } else {
    fail(field.where(), "normalizer \"" + printable(type, 40) + "\" is not supported");
  }
}

}  // namespace rota_lm

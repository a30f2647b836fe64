#include "engine/tokenizer/normalizer.hpp"

#include "engine/error.hpp"
#include "engine/tokenizer/unicode.hpp"

namespace rota_lm {

normalizer::normalizer(const json_field& field) : where_(field.where()) {
  read(field);
}

std::string normalizer::operator()(std::string_view stretch, growth_bound& bound) const {
  std::string out(stretch);
  for (const auto& step : steps_) {
    out = std::visit([&](const auto& s) { return s(out, bound); }, step);
  }
  if (!steps_.empty()) bound.make(out.size());
  return out;
}

std::string normalizer::nfc::operator()(const std::string& text, const growth_bound&) const {
  return unicode::nfc(text);  // at most three times as long
}

std::string normalizer::prepend::operator()(const std::string& text,
                                            const growth_bound& bound) const {
  if (text.empty()) return text;
  bound.check(prefix.size() + text.size());
  return prefix + text;
}

void normalizer::read(const json_field& field) {
  const std::string& type = field.at("type").string();
  if (type == "Sequence") {
    const json_field list = field.at("normalizers");
    for (std::size_t i = 0; i < list.size(); ++i) read(list.at(i));
    return;
  }
  if (type == "NFC") {
    steps_.emplace_back(nfc{});
  } else if (type == "Prepend") {
    steps_.emplace_back(prepend{field.at("prepend").string()});
  } else if (type == "Replace") {
    steps_.emplace_back(replacement(field));
  } else {
    fail(field.where(), "normalizer \"" + printable(type, 40) + "\" is not supported");
  }
  check_step_count(field, steps_.size());
}

}  // namespace rota_lm

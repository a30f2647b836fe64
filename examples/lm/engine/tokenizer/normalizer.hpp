// The normalizer section of tokenizer.json: what happens to a text before it is split.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "engine/error.hpp"
#include "engine/json.hpp"
#include "engine/tokenizer/unicode.hpp"
#include "engine/tokenizer/utf8.hpp"

namespace rota_lm {

namespace detail {

/// The text of a {"String": "..."} pattern; regular expressions are refused.
inline std::string literal_pattern(const json_field& step) {
  const json_field pattern = step.at("pattern");
  const auto literal = pattern.find("String");
  if (!literal) fail(pattern.where(), "only String patterns are supported here");
  if (literal->string().empty()) fail(literal->where(), "is empty");
  return literal->string();
}

}  // namespace detail

/// NFC, Prepend, Replace (of a literal), and sequences of them; others are refused by name.
class normalizer {
 public:
  normalizer() = default;
  explicit normalizer(const json_field& field) { read(field); }

  /// `text` must be valid UTF-8.
  std::string operator()(std::string_view text) const {
    std::string out(text);
    for (const auto& step : steps_) {
      out = std::visit([&](const auto& s) { return s.apply(out); }, step);
    }
    return out;
  }

 private:
  struct nfc {
    std::string apply(const std::string& text) const { return unicode::nfc(text); }
  };
  struct prepend {
    std::string prefix;
    std::string apply(const std::string& text) const { return text.empty() ? text : prefix + text; }
  };
  struct replace {
    std::string from, to;
    std::string apply(const std::string& text) const { return replace_all(text, from, to); }
  };

  void read(const json_field& field) {
    const std::string& type = field.at("type").string();
    if (type == "Sequence") {
      const json_field list = field.at("normalizers");
      for (std::size_t i = 0; i < list.size(); ++i) read(list.at(i));
    } else if (type == "NFC") {
      steps_.emplace_back(nfc{});
    } else if (type == "Prepend") {
      steps_.emplace_back(prepend{field.at("prepend").string()});
    } else if (type == "Replace") {
      steps_.emplace_back(replace{detail::literal_pattern(field), field.at("content").string()});
    } else {
      fail(field.where(), "normalizer \"" + printable(type, 40) + "\" is not supported");
    }
  }

  std::vector<std::variant<nfc, prepend, replace>> steps_;
};

}  // namespace rota_lm

// The normalizer section of tokenizer.json: what happens to a text before it is split.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/json.hpp"

namespace rota_lm {

/// The text of a step's {"String": "..."} pattern, not empty; regular expressions are refused.
std::string literal_pattern(const json_field& step);

/// NFC, Prepend, Replace (of a literal), and sequences of them; others are refused by name.
class normalizer {
 public:
  normalizer() = default;
  explicit normalizer(const json_field& field);

  /// `text` must be valid UTF-8.
  std::string operator()(std::string_view text) const;

 private:
  struct nfc {
    std::string apply(const std::string& text) const;
  };
  struct prepend {
    std::string prefix;
    std::string apply(const std::string& text) const;
  };
  struct replace {
    std::string from, to;
    std::string apply(const std::string& text) const;
  };

  void read(const json_field& field);

  std::vector<std::variant<nfc, prepend, replace>> steps_;
};

}  // namespace rota_lm

// The normalizer section of tokenizer.json: what happens to a text before it is split.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/json.hpp"
#include "engine/tokenizer/bounds.hpp"
#include "engine/tokenizer/replacement.hpp"

namespace rota_lm {

/// NFC, Prepend, Replace (of a literal), and sequences of them; others are refused by name.
class normalizer {
 public:
  normalizer() = default;
  explicit normalizer(const json_field& field);

  /// The bound on what the stretches of a text of `bytes` bytes may become together.
  growth_bound bound(std::size_t bytes) const { return growth_bound(where_, bytes); }

  /// Normalizes a stretch of a text, valid UTF-8. Throws when that passes the text's bound.
  std::string operator()(std::string_view stretch, growth_bound& bound) const;

 private:
  struct nfc {
    std::string operator()(const std::string& text, const growth_bound& bound) const;
  };
  struct prepend {
    std::string prefix;
    std::string operator()(const std::string& text, const growth_bound& bound) const;
  };

  void read(const json_field& field);

  std::string where_;
  std::vector<std::variant<nfc, prepend, replacement>> steps_;
};

}  // namespace rota_lm

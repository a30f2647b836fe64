// The Replace step of normalizers and decoders.
#pragma once

#include <string>
#include <string_view>

#include "engine/json.hpp"
#include "engine/tokenizer/bounds.hpp"

namespace rota_lm {

/// Replaces each occurrence of a literal, leftmost first, by another text.
class replacement {
 public:
  /// Reads "pattern" and "content". Regular expressions and empty patterns are refused.
  explicit replacement(const json_field& step);

  /// `text` with every occurrence replaced, within `bound`.
  std::string operator()(std::string_view text, const growth_bound& bound) const;

  /// The same for a text that goes on: takes from `text` and replaces what can no longer become
  /// part of an occurrence.
  std::string take(std::string& text, const growth_bound& bound) const;

 private:
  std::string from_;
  std::string to_;
};

}  // namespace rota_lm

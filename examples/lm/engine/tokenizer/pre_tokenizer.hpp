// The pre_tokenizer section of tokenizer.json: how a normalized text is cut into pieces, inside
// which merges happen.
#pragma once

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

#include "engine/json.hpp"
#include "engine/tokenizer/bounds.hpp"
#include "engine/tokenizer/word_split.hpp"

namespace rota_lm {

/// A piece of text; `first` when it begins where the whole input begins.
struct text_piece {
  std::string text;
  bool first = false;
};

/// How metaspace marks the beginning of a text, in pre-tokenizer and decoder alike.
enum class prepend_scheme { always, first, never };

/// The "prepend_scheme" of a Metaspace object, or its older form "add_prefix_space".
prepend_scheme read_prepend_scheme(const json_field& metaspace);

/// Split (by the known word patterns), ByteLevel, Digits, Metaspace and sequences of them; others
/// are refused by name.
class pre_tokenizer {
 public:
  pre_tokenizer() = default;
  explicit pre_tokenizer(const json_field& field);

  /// The bound on what the pieces of a text of `bytes` bytes may become together.
  growth_bound bound(std::size_t bytes) const { return growth_bound(where_, bytes); }

  /// The pieces of `piece` (valid UTF-8), none of them empty. Throws when they pass the text's
  /// bound.
  std::vector<text_piece> operator()(text_piece piece, growth_bound& bound) const;

 private:
  using texts = std::vector<std::string>;

  struct words {
    word_pattern pattern;
    texts apply(const text_piece& p) const;
  };
  struct byte_level {
    bool add_prefix_space;
    bool use_regex;
    texts apply(const text_piece& p) const;
  };
  struct digits {
    bool individual;
    texts apply(const text_piece& p) const;
  };
  struct metaspace {
    std::string mark;
    prepend_scheme scheme;
    bool split;
    texts apply(const text_piece& p) const;
  };

  void read(const json_field& field);
  static words read_split(const json_field& field);
  static metaspace read_metaspace(const json_field& field);

  std::string where_;
  std::vector<std::variant<words, byte_level, digits, metaspace>> steps_;
};

}  // namespace rota_lm

// The steps of a decoder, each in the middle of a text: they take tokens as they come and give out
// what later tokens can no longer change.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/json.hpp"
#include "engine/tokenizer/bounds.hpp"
#include "engine/tokenizer/pre_tokenizer.hpp"
#include "engine/tokenizer/replacement.hpp"

namespace rota_lm::decode_steps {

/// Some of a token's text, always whole characters. A token comes in several parts when its end is
/// far: some steps make one token of all.
struct token_part {
  std::string text;
  bool ends = true;  ///< the token ends with it
};
using token_parts = std::vector<token_part>;

// Each step has push(), which takes the next part and appends what it makes of it to `out`, and
// finish(), which appends what it held back.

/// Puts a space before each token but the first: what files without a decoder ask for.
class join {
 public:
  void push(token_part part, const growth_bound& bound, token_parts& out);
  void finish(token_parts&) {}

 private:
  bool first_ = true;
  bool begins_ = true;  // the next part begins a token
};

/// Bytes from the byte alphabet, as one token. Invalid UTF-8 becomes U+FFFD.
class byte_level {
 public:
  void push(token_part part, const growth_bound& bound, token_parts& out);
  void finish(token_parts& out);

 private:
  std::string spelling_;  // of a token whose end is still to come
  std::string bytes_;     // the beginning of a character
};

/// Replaces a literal inside tokens.
class replace {
 public:
  explicit replace(const json_field& field) : replace_(field) {}
  void push(token_part part, const growth_bound& bound, token_parts& out);
  void finish(token_parts&) {}

 private:
  replacement replace_;
  std::string pending_;  // perhaps the beginning of an occurrence
};

/// Each run of tokens that spell bytes ("<0x41>") becomes the text of those bytes, or one U+FFFD a
/// byte when they are not valid UTF-8 together: so a run that is valid so far waits for its end.
class byte_fallback {
 public:
  void push(token_part part, const growth_bound& bound, token_parts& out);
  void finish(token_parts& out) { end_run(out); }

 private:
  void push_byte(char byte, token_parts& out);
  void end_run(token_parts& out);

  std::string token_;    // one that may still spell a byte
  bool passes_ = false;  // the token that is coming in does not
  std::string run_;
  std::size_t checked_ = 0;  // bytes of run_ that are whole characters
  bool invalid_ = false;     // the run that is coming in is not valid, and was given out
};

/// Makes one token of all.
class fuse {
 public:
  void push(token_part part, const growth_bound& bound, token_parts& out);
  void finish(token_parts& out) { out.push_back({}); }
};

/// Takes up to `start` times a character from the beginning of each token, `stop` from its end.
class strip {
 public:
  explicit strip(const json_field& field);
  void push(token_part part, const growth_bound& bound, token_parts& out);
  void finish(token_parts&) {}

 private:
  std::string content_;  // one character
  std::size_t start_, stop_;
  std::size_t to_strip_;  // how many may still be taken from the beginning of this token
  std::size_t held_ = 0;  // how many are held back: this token may end with them
};

/// Spaces for metaspace's marks; none for those of the first token, unless never prepended.
class metaspace {
 public:
  explicit metaspace(const json_field& field);
  void push(token_part part, const growth_bound& bound, token_parts& out);
  void finish(token_parts&) {}

 private:
  std::string mark_;
  bool leading_;
};

using step = std::variant<join, byte_level, replace, byte_fallback, fuse, strip, metaspace>;

}  // namespace rota_lm::decode_steps

// Byte-pair encoding of one piece of text: the model section of tokenizer.json.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/config.hpp"
#include "engine/json.hpp"

namespace rota_lm {

/// Vocabulary and merges, checked: ids are unique and bounded, each merge's parts and result are in
/// the vocabulary.
class bpe {
  struct text_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };

 public:
  using token_ids = std::unordered_map<std::string, token_id, text_hash, std::equal_to<>>;
  static constexpr std::int64_t max_id = (1 << 22) - 1;

  /// Reads the "model" object.
  explicit bpe(const json_field& model);

  /// The id of a token of the vocabulary by its spelling.
  std::optional<token_id> find(std::string_view token) const;
  const token_ids& vocabulary() const { return ids_; }

  /// Appends the tokens of one piece (valid UTF-8, already split and spelled in the vocabulary's
  /// alphabet). Throws when a character has no token and there is nothing to stand in for it.
  /// Takes time in proportion to the piece but for a logarithm: models in the sentencepiece style
  /// have whole texts as one piece.
  void encode(std::string_view piece, std::vector<token_id>& out) const;

 private:
  struct merge {
    std::uint32_t rank;
    token_id result;
  };
  struct symbol;  // of a piece that is being merged
  class merging;

  void read_vocabulary(const json_field& vocab);
  void read_merges(const json_field& merges);
  void read_byte_tokens();
  const merge* find_merge(token_id left, token_id right) const;
  std::vector<symbol> spell(std::string_view piece) const;
  bool spells_bytes(std::string_view character) const;

  token_ids ids_;
  std::unordered_map<std::uint64_t, merge> merges_;  ///< by both parts' ids
  std::optional<std::array<token_id, 256>> byte_tokens_;
  std::optional<token_id> unknown_;
  bool fuse_unknown_ = false;
  bool ignore_merges_ = false;
};

}  // namespace rota_lm

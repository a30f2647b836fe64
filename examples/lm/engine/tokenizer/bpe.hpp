// Byte-pair encoding of one piece of text: the model section of tokenizer.json.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/config.hpp"
#include "engine/error.hpp"
#include "engine/json.hpp"
#include "engine/tokenizer/utf8.hpp"

namespace rota_lm {

/// Vocabulary and merges, checked: ids are unique and bounded, each merge's parts and result are in
/// the vocabulary.
class bpe {
 public:
  static constexpr std::int64_t max_id = (1 << 22) - 1;

  /// Reads the "model" object.
  explicit bpe(const json_field& model) {
    if (const auto type = model.find("type"); type && type->string() != "BPE") {
      fail(type->where(), "model \"" + printable(type->string(), 40) + "\" is not supported");
    }
    refuse_options(model);
    fuse_unknown_ = flag(model, "fuse_unk");
    ignore_merges_ = flag(model, "ignore_merges");
    read_vocabulary(model.at("vocab"));
    read_merges(model.at("merges"));
    if (const auto unknown = model.find("unk_token")) {
      unknown_ = find(unknown->string());
      if (!unknown_) fail(unknown->where(), "is not in the vocabulary");
    }
    if (flag(model, "byte_fallback")) read_byte_tokens();
  }

  std::optional<token_id> find(std::string_view token) const {
    const auto found = ids_.find(token);
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }
  const auto& vocabulary() const { return ids_; }

  /// Appends the tokens of one piece (valid UTF-8, already split and spelled in the vocabulary's
  /// alphabet). Throws when a character has no token and there is nothing to stand in for it.
  void encode(std::string_view piece, std::vector<token_id>& out) const {
    if (piece.empty()) return;
    if (const auto whole = find(piece); whole && ignore_merges_) {
      out.push_back(*whole);
      return;
    }
    std::vector<symbol> symbols = spell(piece);
    merge_all(symbols);
    for (const symbol& s : symbols) {
      if (s.id != gone) out.push_back(s.id);
    }
  }

 private:
  struct text_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  struct merge {
    std::uint32_t rank;
    token_id result;
  };
  struct symbol {
    token_id id;
    std::size_t previous;
    std::size_t next;
  };
  /// A merge that may be made; the queue yields the lowest rank, then the leftmost.
  using candidate = std::tuple<std::uint32_t, std::size_t, token_id>;  // rank, left, result
  using candidate_queue =
      std::priority_queue<candidate, std::vector<candidate>, std::greater<candidate>>;

  static constexpr token_id gone = -1;
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  static bool flag(const json_field& model, const std::string& key) {
    const auto field = model.find(key);
    return field && field->boolean();
  }

  static void refuse_options(const json_field& model) {
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (const auto field = model.find(key); field && !field->string().empty()) {
        fail(field->where(), "is not supported");
      }
    }
    if (const auto dropout = model.find("dropout"); dropout && dropout->number(0, 1) != 0) {
      fail(dropout->where(), "is not supported");
    }
  }

  void read_vocabulary(const json_field& vocab) {
    std::vector<bool> used;
    ids_.reserve(vocab.object().size());
    for (const auto& [token, value] : vocab.object().items()) {
      if (!value.is_number_integer() || value < 0 || value > max_id) {
        fail(vocab.where(), "token \"" + printable(token, 80) + "\": id must be in [0, " +
                                std::to_string(max_id) + "]");
      }
      const auto id = value.get<std::size_t>();
      if (id >= used.size()) used.resize(id + 1);
      if (used[id]) fail(vocab.where(), "id " + std::to_string(id) + " is given twice");
      used[id] = true;
      ids_.emplace(token, static_cast<token_id>(id));
    }
  }

  void read_merges(const json_field& merges) {
    merges_.reserve(merges.size());
    for (std::size_t rank = 0; rank < merges.size(); ++rank) {
      const auto [left, right] = merge_parts(merges, rank);
      const auto a = find(left);
      const auto b = find(right);
      const auto result = find(std::string(left) + std::string(right));
      if (!a || !b || !result) {
        fail(merges.where(), "merge " + std::to_string(rank) + " is not of vocabulary tokens");
      }
      merges_[pair_key(*a, *b)] = {static_cast<std::uint32_t>(rank), *result};
    }
  }

  /// Older files write a merge as "a b", newer ones as ["a", "b"].
  static std::pair<std::string_view, std::string_view> merge_parts(const json_field& merges,
                                                                   std::size_t rank) {
    const json& entry = merges.value()[rank];
    if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string()) {
      return {entry[0].get_ref<const std::string&>(), entry[1].get_ref<const std::string&>()};
    }
    if (entry.is_string()) {
      const std::string_view text = entry.get_ref<const std::string&>();
      const std::size_t space = text.find(' ');
      if (space != std::string_view::npos && text.find(' ', space + 1) == std::string_view::npos) {
        return {text.substr(0, space), text.substr(space + 1)};
      }
    }
    fail(merges.where(), "merge " + std::to_string(rank) + " is not a pair of tokens");
  }

  void read_byte_tokens() {
    static constexpr std::string_view digits = "0123456789ABCDEF";
    byte_tokens_.emplace();
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::string name = {'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
      (*byte_tokens_)[byte] = find(name).value_or(gone);
    }
  }

  static std::uint64_t pair_key(token_id a, token_id b) {
    return static_cast<std::uint64_t>(a) << 32 | static_cast<std::uint32_t>(b);
  }

  /// One symbol a character; characters that have no token become their bytes, or unknown.
  std::vector<symbol> spell(std::string_view piece) const {
    std::vector<symbol> symbols;
    const auto push = [&](token_id id) {
      const std::size_t at = symbols.size();
      symbols.push_back({id, at == 0 ? none : at - 1, none});
      if (at != 0) symbols[at - 1].next = at;
    };
    bool after_unknown = false;
    const decoded_text text = decode_utf8(piece);
    for (std::size_t i = 0; i < text.points.size(); ++i) {
      const auto character = piece.substr(text.starts[i], text.starts[i + 1] - text.starts[i]);
      const auto id = find(character);
      const bool unknown = !id && !spells_bytes(character);
      if (id) {
        push(*id);
      } else if (!unknown) {
        for (const char c : character) push((*byte_tokens_)[static_cast<unsigned char>(c)]);
      } else if (!unknown_) {
        fail("text", "a character (U+" + hex(text.points[i]) +
                         ") is not in the vocabulary, which has no unknown token");
      } else if (!(fuse_unknown_ && after_unknown)) {
        push(*unknown_);
      }
      after_unknown = unknown;
    }
    return symbols;
  }

  bool spells_bytes(std::string_view character) const {
    if (!byte_tokens_) return false;
    for (const char c : character) {
      if ((*byte_tokens_)[static_cast<unsigned char>(c)] == gone) return false;
    }
    return true;
  }

  static std::string hex(char32_t value) {
    std::string out;
    for (int shift = 20; shift >= 0; shift -= 4) {
      const auto digit = value >> shift & 15;
      if (digit != 0 || !out.empty() || shift < 16) out += "0123456789ABCDEF"[digit];
    }
    return out;
  }

  void offer(const std::vector<symbol>& symbols, std::size_t left, candidate_queue& queue) const {
    if (left == none || symbols[left].next == none) return;
    const auto found = merges_.find(pair_key(symbols[left].id, symbols[symbols[left].next].id));
    if (found != merges_.end()) queue.emplace(found->second.rank, left, found->second.result);
  }

  /// Makes the merges in the order of their ranks; what is merged away gets the id `gone`. Linear
  /// in the piece but for the queue, since sentencepiece-style models have whole texts as one
  /// piece.
  void merge_all(std::vector<symbol>& symbols) const {
    candidate_queue queue;
    for (std::size_t i = 0; i < symbols.size(); ++i) offer(symbols, i, queue);
    while (!queue.empty()) {
      const auto [rank, left, result] = queue.top();
      queue.pop();
      if (!still_possible(symbols, left, result)) continue;
      symbol& a = symbols[left];
      symbol& b = symbols[a.next];
      a.id = result;
      b.id = gone;
      a.next = b.next;
      if (a.next != none) symbols[a.next].previous = left;
      offer(symbols, a.previous, queue);
      offer(symbols, left, queue);
    }
  }

  /// Whether an offer has not been overtaken by another merge.
  bool still_possible(const std::vector<symbol>& symbols, std::size_t left, token_id result) const {
    const symbol& a = symbols[left];
    if (a.id == gone || a.next == none) return false;
    const auto found = merges_.find(pair_key(a.id, symbols[a.next].id));
    return found != merges_.end() && found->second.result == result;
  }

  std::unordered_map<std::string, token_id, text_hash, std::equal_to<>> ids_;
  std::unordered_map<std::uint64_t, merge> merges_;
  std::optional<std::array<token_id, 256>> byte_tokens_;
  std::optional<token_id> unknown_;
  bool fuse_unknown_ = false;
  bool ignore_merges_ = false;
};

}  // namespace rota_lm

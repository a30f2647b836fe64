#include "engine/tokenizer/bpe.hpp"

#include <queue>
#include <tuple>
#include <utility>

#include "engine/error.hpp"
#include "engine/tokenizer/utf8.hpp"

namespace rota_lm {

namespace {

constexpr token_id gone = -1;  // a symbol that was merged into its left neighbour
constexpr std::size_t none = static_cast<std::size_t>(-1);

bool flag(const json_field& model, const std::string& key) {
  const auto field = model.find(key);
  return field && field->boolean();
}

void refuse_options(const json_field& model) {
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (const auto field = model.find(key); field && !field->string().empty()) {
      fail(field->where(), "is not supported");
    }
  }
  if (const auto dropout = model.find("dropout"); dropout && dropout->number(0, 1) != 0) {
    fail(dropout->where(), "is not supported");
  }
}

/// Older files write a merge as "a b", newer ones as ["a", "b"].
std::pair<std::string_view, std::string_view> merge_parts(const json_field& merges,
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

std::uint64_t pair_key(token_id a, token_id b) {
  return static_cast<std::uint64_t>(a) << 32 | static_cast<std::uint32_t>(b);
}

std::string hex(char32_t value) {
  std::string out;
  for (int shift = 20; shift >= 0; shift -= 4) {
    const auto digit = value >> shift & 15;
    if (digit != 0 || !out.empty() || shift < 16) out += "0123456789ABCDEF"[digit];
  }
  return out;
}

}  // namespace

/// A piece is a list of symbols, linked so that merging two takes constant time.
struct bpe::symbol {
  token_id id;
  std::size_t previous;
  std::size_t next;
};

/// Makes the merges of one piece in the order of their ranks.
class bpe::merging {
 public:
  merging(const bpe& model, std::vector<symbol>& symbols) : model_(model), symbols_(symbols) {
    for (std::size_t i = 0; i < symbols_.size(); ++i) offer(i);
  }

  /// What is merged away gets the id `gone`.
  void run() {
    while (!queue_.empty()) {
      const auto [rank, left, result] = queue_.top();
      queue_.pop();
      if (!still_possible(left, result)) continue;
      symbol& a = symbols_[left];
      symbol& b = symbols_[a.next];
      a.id = result;
      b.id = gone;
      a.next = b.next;
      if (a.next != none) symbols_[a.next].previous = left;
      if (a.previous != none) offer(a.previous);
      offer(left);
    }
  }

 private:
  /// A merge that may be made; the queue yields the lowest rank, then the leftmost.
  using candidate = std::tuple<std::uint32_t, std::size_t, token_id>;  // rank, left, result

  const merge* merge_at(std::size_t left) const {
    const symbol& a = symbols_[left];
    return a.next == none ? nullptr : model_.find_merge(a.id, symbols_[a.next].id);
  }

  void offer(std::size_t left) {
    if (const merge* found = merge_at(left)) queue_.emplace(found->rank, left, found->result);
  }

  /// Whether an offer has not been overtaken by another merge.
  bool still_possible(std::size_t left, token_id result) const {
    if (symbols_[left].id == gone) return false;
    const merge* found = merge_at(left);
    return found != nullptr && found->result == result;
  }

  const bpe& model_;
  std::vector<symbol>& symbols_;
  std::priority_queue<candidate, std::vector<candidate>, std::greater<candidate>> queue_;
};

bpe::bpe(const json_field& model) {
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

std::optional<token_id> bpe::find(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

void bpe::encode(std::string_view piece, std::vector<token_id>& out) const {
  if (piece.empty()) return;
  if (const auto whole = find(piece); whole && ignore_merges_) {
    out.push_back(*whole);
    return;
  }
  std::vector<symbol> symbols = spell(piece);
  merging(*this, symbols).run();
  for (const symbol& s : symbols) {
    if (s.id != gone) out.push_back(s.id);
  }
}

void bpe::read_vocabulary(const json_field& vocab) {
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

void bpe::read_merges(const json_field& merges) {
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

void bpe::read_byte_tokens() {
  static constexpr std::string_view digits = "0123456789ABCDEF";
  byte_tokens_.emplace();
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const std::string name = {'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
    (*byte_tokens_)[byte] = find(name).value_or(gone);
  }
}

const bpe::merge* bpe::find_merge(token_id left, token_id right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

/// One symbol a character; characters that have no token become their bytes, or unknown.
std::vector<bpe::symbol> bpe::spell(std::string_view piece) const {
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

bool bpe::spells_bytes(std::string_view character) const {
  if (!byte_tokens_) return false;
  for (const char c : character) {
    if ((*byte_tokens_)[static_cast<unsigned char>(c)] == gone) return false;
  }
  return true;
}

}  // namespace rota_lm

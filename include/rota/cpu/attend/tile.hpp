#pragma once

#include <algorithm>
#include <cstdint>

#include <rota/attend/problem.hpp>
#include <rota/core/record.hpp>
#include <rota/cpu/simd/isa.hpp>

// Which tokens are looked at together, and which of them a row may see.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

/// A tile is closed at tile_target tokens: their logits and the rows they came from stay in near
/// caches. A single record, or block of a dense store, may be larger.
inline constexpr index_t tile_target = 64;
inline constexpr index_t tile_capacity = max_record_tokens;
inline constexpr int max_pieces = 64;

/// Tokens first .. first + count - 1 of a block; their logits start at `at` of the tile.
template <codec E>
struct piece {
  block<E> from;
  index_t first = 0;
  index_t count = 0;
  index_t at = 0;
};

/// Positions that a row sees, both ends included.
struct sight {
  std::int64_t low = 0;
  std::int64_t high = 0;
};

inline sight sight_of(const attend_params& p, std::int64_t query_position) {
  sight s{INT64_MIN, INT64_MAX};
  if (p.causal) s.high = query_position;
  if (p.sliding_window > 0) s.low = last_unseen(query_position, p.sliding_window) + 1;
  return s;
}

/// Half-open range of tokens.
struct token_range {
  index_t begin = 0;
  index_t end = 0;
  bool empty() const { return begin >= end; }
};

/// The tokens of [first, first + count) whose positions lie in sight. Positions ascend in a block.
template <codec E>
token_range seen(const block<E>& b, index_t first, index_t count, const sight& s) {
  const auto below = [&](std::int64_t bound) {  // tokens with positions less than bound
    if (b.positions != nullptr)
      return std::lower_bound(b.positions + first, b.positions + first + count, bound,
                              [](position_t p, std::int64_t x) { return p < x; }) -
             b.positions;
    return std::clamp<std::int64_t>(bound - b.first_position, first, first + count);
  };
  token_range r{first, first + count};
  if (s.low != INT64_MIN) r.begin = below(s.low);
  if (s.high != INT64_MAX) r.end = below(s.high + 1);
  return r;
}

/// The first of the blocks for which `is_before` does not hold; it holds for a run of blocks from
/// the first. Blocks without tokens say nothing and are passed over.
template <class Store, class Before>
index_t first_block_not(const Store& store, index_t head, token_range blocks, Before is_before) {
  index_t low = blocks.begin;
  index_t high = blocks.end;
  while (low < high) {
    const index_t mid = low + (high - low) / 2;
    index_t at = mid;
    auto b = store.block_at(head, at);
    while (b.count == 0 && ++at < high) b = store.block_at(head, at);
    if (at < high && is_before(b))
      low = at + 1;
    else
      high = mid;
  }
  return low;
}

/// The part of `blocks` outside which nothing is in sight; positions ascend over blocks.
template <class Store>
token_range blocks_in_sight(const Store& store, index_t head, token_range blocks, const sight& s) {
  token_range r = blocks;
  if (s.high != INT64_MAX)
    r.end = first_block_not(store, head, blocks,
                            [&](const auto& b) { return b.position(0) <= s.high; });
  if (s.low != INT64_MIN)
    r.begin = first_block_not(store, head, blocks,
                              [&](const auto& b) { return b.position(b.count - 1) < s.low; });
  return r;
}

/// Whether any piece of a tile has whole rows of values.
template <class Walk>
bool has_whole_rows(const Walk& tile) {
  return std::any_of(tile.begin(), tile.end(),
                     [](const auto& piece) { return piece.from.order == value_order::whole; });
}

/// Walks the tokens of some blocks tile by tile.
template <class Store>
class tile_walk {
 public:
  using element_type = typename Store::element_type;

  tile_walk(const Store& store, index_t head, token_range blocks)
      : store_(store), head_(head), next_(blocks.begin), end_(blocks.end) {}

  /// Fills `pieces` with the next tile; false when there is none.
  bool advance() {
    count_ = 0;
    tokens_ = 0;
    while (count_ < max_pieces && tokens_ < tile_target && load()) {
      const index_t left = current_.count - used_;
      // A record is read as it lies, keys then values; only longer runs of rows are split.
      const bool splits = current_.count > tile_capacity;
      const index_t room = (splits ? tile_target : tile_capacity) - tokens_;
      if (left > room && (!splits || tokens_ > 0)) break;  // starts the next tile
      const index_t n = std::min(left, room);
      pieces_[count_++] = {current_, used_, n, tokens_};
      tokens_ += n;
      used_ += n;
    }
    return count_ > 0;
  }

  const piece<element_type>* begin() const { return pieces_; }
  const piece<element_type>* end() const { return pieces_ + count_; }
  index_t tokens() const { return tokens_; }

 private:
  /// Makes current_ a block with unused tokens.
  bool load() {
    while (used_ >= current_.count) {
      if (next_ >= end_) return false;
      current_ = store_.block_at(head_, next_++);
      used_ = 0;
    }
    return true;
  }

  const Store& store_;
  index_t head_;
  index_t next_, end_;
  block<element_type> current_;
  index_t used_ = 0;
  piece<element_type> pieces_[max_pieces];
  int count_ = 0;
  index_t tokens_ = 0;
};

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail

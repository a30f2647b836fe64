#pragma once

#include <atomic>

#include <rota/cpu/select/guess.hpp>
#include <rota/cpu/select/mark.hpp>

// Cutting the ranking of a unit after its best items. Scores are read once: a sample gives a
// bracket, the pass marks what is above it and lists what is inside, and the list decides the rest.
// Where that fails (many equal scores, an unlucky sample), the scores are read again.

namespace rota::cpu {

inline namespace ROTA_CPU_ISA {
namespace select_detail {

using detail::cut;
using detail::cut_memory;
using detail::select_unit;
static_assert(cut::all == all_left);

/// One unit whose ranking is cut.
class unit_cut {
 public:
  unit_cut(const backend& b, const item_level& level, const select_unit& unit, index_t quota,
           index_t items, int worker)
      : b_(b),
        level_(level),
        m_(level.memory.cuts),
        unit_(unit),
        quota_(quota),
        items_(items),
        first_block_(level.first_block(unit.first_chunk)),
        last_block_(level.first_block(unit.last_chunk)),
        own_(m_.own + worker * cut_memory::own_keys),
        histograms_(m_.histograms + worker * detail::histogram_buckets) {}

  /// Keeps the best `quota` of the unit's `items`.
  void run() {
    if (quota_ <= 0) return keep_none();
    if (quota_ >= items_) return keep_cut(cut::keep_all());
    const bracket guess =
        is_small() ? bracket{} : guess_bracket(level_, unit_, quota_, items_, own_);
    if (split(guess) && quota_ > from_high_ && quota_ <= from_high_ + listed_) return keep_listed();
    // Many items may have just the key of an end.
    const ranked_key end = count(quota_ <= from_high_ ? guess.high : guess.low);
    const bool ends_here = quota_ > end.above && quota_ <= end.above + end.equal;
    keep_cut(ends_here ? cut_at(end, quota_) : search());
  }

  /// Keeps the unit's items that a cut keeps; reads the scores.
  void keep_cut(const cut& at) {
    const key_type key = simd::signed_key(at.key);
    if (at.splits_ties()) {
      count(key);
      rank_ties();
    }
    for_blocks(b_, [&](const item_block& block, int) {
      std::uint64_t* const kept = level_.words_of(block);
      if (!level_.rest) std::fill_n(kept, block_words, std::uint64_t{0});
      index_t left = ties_left(at, block);
      for_words(block, [&](index_t w, const simd::key_word& keys, std::uint64_t there) {
        kept[w] |= best_of(keys, there, key, left);
      });
    });
  }

 private:
  index_t blocks() const { return last_block_ - first_block_; }
  /// All of a small unit is inside a bracket without bounds, and listed.
  bool is_small() const { return items_ <= cut_memory::few_items; }
  key_type* list() const {
    return is_small() ? own_ : m_.list + first_block_ * cut_memory::listed_per_block;
  }
  index_t list_room() const {
    if (is_small()) return cut_memory::few_items;
    return blocks() * cut_memory::listed_per_block - cut_memory::slack;
  }

  template <class F>
  void for_blocks(const backend& b, F&& f) const {
    level_.for_blocks(b, unit_.first_chunk, unit_.last_chunk, f);
  }

  template <class F>
  [[gnu::always_inline]] void for_words(const item_block& block, F&& f) const {
    select_detail::for_words(level_, block, f);
  }

  /// Where the items above a bracket are marked: where they are kept, unless others are already.
  std::uint64_t* high_words(const item_block& block) const {
    return level_.rest ? m_.high + block.number * block_words : level_.words_of(block);
  }

  /// The keys that a thread lists before it asks for a place for them: threads that ask often hold
  /// each other up.
  struct pending_list {
    static constexpr index_t block_keys = block_words * simd::word_items;
    index_t first_block = 0;
    index_t count = 0;
    key_type keys[4 * block_keys + cut_memory::slack];

    bool is_full() const { return count > 3 * block_keys; }
  };

  /// Marks a block's items above a bracket, lists those inside; returns how many are above.
  index_t split(const bracket& guess, const item_block& block, pending_list& list) const {
    block_marks marks;
    mark_block(level_, block, guess, list.keys + list.count, marks);
    std::copy_n(marks.high, block_words, high_words(block));
    std::copy_n(marks.inside, block_words, m_.inside + block.number * block_words);
    m_.places[block.number] = list.count;
    list.count += marks.listed;
    return marks.above;
  }

  /// Gives what a thread has listed, up to a block, its place among all.
  void place(pending_list& own, index_t last_block, std::atomic<index_t>& listed) const {
    const index_t at = listed.fetch_add(own.count, std::memory_order_relaxed);
    if (at + own.count <= list_room()) std::copy_n(own.keys, own.count, list() + at);
    for (index_t i = own.first_block; i < last_block; ++i) m_.places[i] += at;
    own.first_block = last_block;
    own.count = 0;
  }

  /// Marks the items above a bracket and lists those inside. Whether the list has room for them.
  bool split(const bracket& guess) {
    std::atomic<index_t> from_high{0}, listed{0};
    for_chunks(b_, level_.memory.map, unit_.first_chunk, unit_.last_chunk,
               [&](const select_chunk& c, int) {
                 pending_list own;
                 own.first_block = level_.first_block(c);
                 index_t above = 0, last_block = own.first_block;
                 level_.for_blocks(c, [&](const item_block& block) {
                   if (own.is_full()) place(own, block.number, listed);
                   above += split(guess, block, own);
                   last_block = block.number + 1;
                 });
                 place(own, last_block, listed);
                 from_high.fetch_add(above, std::memory_order_relaxed);
               });
    from_high_ = from_high;
    listed_ = listed;
    return listed_ <= list_room();
  }

  /// Keeps what is above the bracket and the best of the list.
  void keep_listed() {
    const index_t missing = quota_ - from_high_;
    const ranked_key found =
        is_small() ? kth_of_many(list(), listed_, missing, own_ + cut_memory::few_items,
                                 cut_memory::own_keys - cut_memory::few_items)
                   : kth_of_many(list(), listed_, missing,
                                 m_.spare + first_block_ * cut_memory::spare_per_block,
                                 blocks() * cut_memory::spare_per_block);
    const cut at = cut_at(found, missing);
    const key_type kth = found.key;
    if (at.splits_ties()) {
      for_blocks(b_, [&](const item_block& block, int) {
        index_t equal = 0;
        for_listed(block, [&](index_t, const simd::key_word& keys, std::uint64_t there) {
          equal += std::popcount(equal_to(keys, kth) & there);
        });
        m_.ties[block.number] = equal;
      });
      rank_ties();
    }
    for_blocks(b_, [&](const item_block& block, int) {
      std::uint64_t best[block_words + 1] = {};  // of the list, without gaps
      index_t left = ties_left(at, block);
      for_listed(block, [&](index_t w, const simd::key_word& keys, std::uint64_t there) {
        best[w] = best_of(keys, there, kth, left);
      });
      keep_listed(block, best);
    });
  }

  /// Keeps what is above the bracket and, of what is inside, the items whose bits are set in
  /// `best`.
  void keep_listed(const item_block& block, const std::uint64_t* best) const {
    std::uint64_t* const kept = level_.words_of(block);
    const std::uint64_t* const high = high_words(block);
    const std::uint64_t* const inside = m_.inside + block.number * block_words;
    index_t bit = 0;
    for (index_t w = 0; w < block_words; ++w) {
      const std::uint64_t before = level_.rest ? kept[w] | high[w] : high[w];
      // Without a branch: whether a word has items inside is not to be guessed.
      const std::uint64_t listed = best[bit / 64] >> bit % 64 | best[bit / 64 + 1]
                                                                    << 1 << (63 - bit % 64);
      kept[w] = before | simd::deposit(listed, inside[w]);
      bit += std::popcount(inside[w]);
    }
  }

  /// Calls f(number, keys, there) for what is listed of a block, a word of keys at a time.
  template <class F>
  void for_listed(const item_block& block, F&& f) const {
    const std::uint64_t* const inside = m_.inside + block.number * block_words;
    index_t n = 0;
    for (index_t w = 0; w < block_words; ++w) n += std::popcount(inside[w]);
    const key_type* const at = list() + m_.places[block.number];
    for (index_t i = 0; i < n; i += simd::word_items)
      f(i / simd::word_items, simd::key_word::of(at + i), simd::low_bits(n - i));
  }

  /// How many of the block's items with the cut's key are kept.
  index_t ties_left(const cut& at, const item_block& block) const {
    if (!at.splits_ties()) return at.ties;
    return std::max<index_t>(at.ties - m_.ties[block.number], 0);
  }

  /// Counts the items at and above a key; fills m_.ties with those at it, by block.
  ranked_key count(key_type key) {
    std::atomic<index_t> above{0}, equal{0};
    for_chunks(b_, level_.memory.map, unit_.first_chunk, unit_.last_chunk,
               [&](const select_chunk& c, int) {
                 ranked_key sum;
                 level_.for_blocks(c, [&](const item_block& block) {
                   index_t own = 0;
                   for_words(block, [&](index_t, const simd::key_word& keys, std::uint64_t there) {
                     sum.above += std::popcount(simd::above(keys, key) & there);
                     own += std::popcount(equal_to(keys, key) & there);
                   });
                   m_.ties[block.number] = own;
                   sum.equal += own;
                 });
                 above.fetch_add(sum.above, std::memory_order_relaxed);
                 equal.fetch_add(sum.equal, std::memory_order_relaxed);
               });
    return {key, above, equal};
  }

  /// The cut that keeps k items, the last of them with this key.
  static cut cut_at(const ranked_key& x, index_t k) {
    return {simd::score_key_of(x.key), k - x.above == x.equal ? cut::all : k - x.above};
  }

  /// The cut by reading all scores once for each digit of a key.
  cut search() const {
    return detail::find_cut(
        b_, histograms_, unit_.first_chunk, unit_.last_chunk, quota_, items_,
        [&](index_t number, auto&& f) {
          level_.for_blocks(level_.memory.map.chunk(number), [&](const item_block& block) {
            for_words(block, [&](index_t, const simd::key_word& keys, std::uint64_t there) {
              key_type own[2 * simd::word_items];
              const index_t n = simd::compress(keys, there, own);
              for (index_t i = 0; i < n; ++i) f(simd::score_key_of(own[i]));
            });
          });
        });
  }

  void keep_none() {
    if (level_.rest) return;
    std::fill(level_.kept + first_block_ * block_words, level_.kept + last_block_ * block_words,
              std::uint64_t{0});
  }

  /// Replaces the ties of each block by those before it.
  void rank_ties() {
    index_t before = 0;
    for (index_t i = first_block_; i < last_block_; ++i) {
      const index_t own = m_.ties[i];
      m_.ties[i] = before;
      before += own;
    }
  }

  backend b_;
  const item_level& level_;
  const cut_memory& m_;
  select_unit unit_;
  index_t quota_, items_, first_block_, last_block_;
  key_type* own_;
  index_t* histograms_;
  index_t from_high_ = 0, listed_ = 0;
};

}  // namespace select_detail
}  // namespace ROTA_CPU_ISA
}  // namespace rota::cpu

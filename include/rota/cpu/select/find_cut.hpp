#pragma once

#include <atomic>

#include <rota/cpu/select/items.hpp>

// Cutting the ranking of a unit after its best items. Scores are read once: a sample gives a
// bracket, the pass marks what is above it and lists what is inside, and the list decides the rest.
// Where that fails (many equal scores, an unlucky sample), the scores are read again.

namespace rota::cpu {

inline namespace ROTA_CPU_ISA {
namespace select_detail {

using detail::cut;
using detail::cut_memory;
using detail::select_unit;

inline constexpr index_t most_samples = 4096;

/// Items of a unit that are above a cut's key, and those that have it.
struct cut_counts {
  index_t above = 0, equal = 0;
};

inline std::uint64_t equal_to(const simd::key_word& keys, key_type key) {
  return simd::at_least(keys, key) & ~simd::above(keys, key);
}

/// The items of a word above a key, and the first `left` of those that have it.
inline std::uint64_t best_of(const simd::key_word& keys, std::uint64_t there, key_type key,
                             index_t& left) {
  if (left == cut::all) return simd::at_least(keys, key) & there;
  const std::uint64_t first = simd::first_bits(equal_to(keys, key) & there, left);
  left -= std::popcount(first);
  return (simd::above(keys, key) & there) | first;
}

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
    const bracket guess = is_small() ? bracket{} : guess_bracket();
    if (split(guess) && quota_ > from_high_ && quota_ <= from_high_ + listed_) return keep_listed();
    cut at;
    keep_cut(ends_at(quota_ <= from_high_ ? guess.high : guess.low, at) ? at : search());
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

  /// Calls f(word, its keys, its ranked items) for the words of a block that have some.
  template <class F>
  [[gnu::always_inline]] void for_words(const item_block& block, F&& f) const {
    if (const float* x = level_.whole_block(block); x != nullptr) {
      for (index_t w = 0; w < block_words; ++w, x += simd::word_items)
        f(w, simd::key_word::of(x), ~std::uint64_t{0});
      return;
    }
    float buffer[simd::word_items];
    for (index_t w = 0; w < block.words(); ++w)
      if (const std::uint64_t there = level_.ranked(block, w); there != 0)
        f(w, simd::key_word::of(level_.scores(block, w, buffer)), there);
  }

  /// The cut after the k-th of n keys, which is `kth`.
  static cut cut_at(key_type kth, const key_type* keys, index_t n, index_t k) {
    const index_t above = simd::count_at_least(keys, n, kth + 1);
    const index_t equal = simd::count_at_least(keys, n, kth) - above;
    return {simd::score_key_of(kth), k - above == equal ? cut::all : k - above};
  }

  /// A few items of each of up to 1024 chunks.
  bracket guess_bracket() const {
    const index_t wanted = std::min<index_t>(items_ / 32, most_samples);
    const index_t chunks = unit_.last_chunk - unit_.first_chunk;
    const index_t strata = std::min<index_t>(chunks, 1024);
    // Items of a word that are not ranked are tried in vain.
    const double places = static_cast<double>(blocks() * block_words * simd::word_items);
    const double tries = std::min(4.0, places / static_cast<double>(items_)) *
                         static_cast<double>(wanted) / static_cast<double>(strata);
    const auto tries_per_chunk = static_cast<index_t>(tries) + 1;
    const float* picked[256];  // asked for together, for none of them is in a cache
    index_t n = 0, waiting = 0;
    const auto read = [&] {
      for (index_t i = 0; i < waiting && n < cut_memory::few_items; ++i)
        own_[n++] = simd::signed_key(score_key(*picked[i]));
      waiting = 0;
    };
    std::uint64_t counter = 0;
    for (index_t s = 0; s < strata; ++s) {
      const select_chunk c = level_.memory.map.chunk(unit_.first_chunk + s * chunks / strata);
      for (index_t i = 0; i < tries_per_chunk; ++i) {
        const float* const item = level_.pick(c, mixed(++counter));
        if (item == nullptr) continue;
        simd::prefetch(reinterpret_cast<std::uintptr_t>(item));
        picked[waiting++] = item;
        if (waiting == std::ssize(picked)) read();
      }
    }
    read();
    return bracket::around(own_, n, quota_, items_);
  }

  /// Bits that look random (the finish of splitmix64).
  static std::uint64_t mixed(std::uint64_t x) {
    x *= 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
  }

  /// A block's items above a bracket, and those inside with their keys.
  struct split_block {
    std::uint64_t high[block_words] = {};
    std::uint64_t inside[block_words] = {};
    index_t above = 0, count = 0;
    key_type keys[block_words * simd::word_items + cut_memory::slack];
  };

  [[gnu::noinline]] void split(const bracket guess, const item_block& block,
                               split_block& out) const {
    index_t above = 0, n = 0;
    for_words(block, [&](index_t w, const simd::key_word& keys, std::uint64_t there)
                         __attribute__((always_inline)) {
                           const std::uint64_t high = simd::at_least(keys, guess.high) & there;
                           const std::uint64_t inside =
                               simd::at_least(keys, guess.low) & ~high & there;
                           out.high[w] = high;
                           out.inside[w] = inside;
                           above += std::popcount(high);
                           n += simd::compress(keys, inside, out.keys + n);
                         });
    out.above = above;
    out.count = n;
  }

  /// Marks the items above a bracket and lists those inside. Whether the list has room for them.
  bool split(const bracket& guess) {
    std::atomic<index_t> from_high{0}, listed{0};
    for_blocks(b_, [&](const item_block& block, int) {
      split_block own;
      split(guess, block, own);
      std::copy_n(own.high, block_words, m_.high + block.number * block_words);
      std::copy_n(own.inside, block_words, m_.inside + block.number * block_words);
      from_high.fetch_add(own.above, std::memory_order_relaxed);
      const index_t at = listed.fetch_add(own.count, std::memory_order_relaxed);
      m_.places[block.number] = at;
      if (at + own.count <= list_room()) std::copy_n(own.keys, own.count, list() + at);
    });
    from_high_ = from_high;
    listed_ = listed;
    return listed_ <= list_room();
  }

  /// Calls f(word, keys, there, items) for the words of a block of which something is listed:
  /// keys are those of `there`, and stand for `items`.
  template <class F>
  void for_listed(const item_block& block, F&& f) const {
    const key_type* at = list() + m_.places[block.number];
    const std::uint64_t* const inside = m_.inside + block.number * block_words;
    for (index_t w = 0; w < block_words; ++w) {
      const int n = std::popcount(inside[w]);
      if (n != 0) f(w, simd::key_word::of(at), simd::low_bits(n), inside[w]);
      at += n;
    }
  }

  /// Keeps what is above the bracket and the best of the list.
  void keep_listed() {
    const index_t missing = quota_ - from_high_;
    const key_type kth =
        is_small() ? kth_of_many(list(), listed_, missing, own_ + cut_memory::few_items,
                                 cut_memory::own_keys - cut_memory::few_items)
                   : kth_of_many(list(), listed_, missing,
                                 m_.spare + first_block_ * cut_memory::spare_per_block,
                                 blocks() * cut_memory::spare_per_block);
    const cut at = cut_at(kth, list(), listed_, missing);
    if (at.splits_ties()) {
      for_blocks(b_, [&](const item_block& block, int) {
        index_t equal = 0;
        for_listed(block, [&](index_t, const simd::key_word& keys, std::uint64_t there, auto) {
          equal += std::popcount(equal_to(keys, kth) & there);
        });
        m_.ties[block.number] = equal;
      });
      rank_ties();
    }
    for_blocks(b_, [&](const item_block& block, int) {
      std::uint64_t* const kept = level_.words_of(block);
      const std::uint64_t* const high = m_.high + block.number * block_words;
      if (!level_.rest) std::fill_n(kept, block_words, std::uint64_t{0});
      for (index_t w = 0; w < block_words; ++w) kept[w] |= high[w];
      index_t left = ties_left(at, block);
      for_listed(block, [&](index_t w, const simd::key_word& keys, std::uint64_t there,
                            std::uint64_t items) {
        kept[w] |= simd::deposit(best_of(keys, there, kth, left), items);
      });
    });
  }

  /// How many of the block's items with the cut's key are kept.
  index_t ties_left(const cut& at, const item_block& block) const {
    if (!at.splits_ties()) return at.ties;
    return std::max<index_t>(at.ties - m_.ties[block.number], 0);
  }

  /// Counts the items at and above a key; fills m_.ties with those at it, by block.
  cut_counts count(key_type key) {
    std::atomic<index_t> above{0}, equal{0};
    for_blocks(b_, [&](const item_block& block, int) {
      cut_counts own;
      for_words(block, [&](index_t, const simd::key_word& keys, std::uint64_t there) {
        own.above += std::popcount(simd::above(keys, key) & there);
        own.equal += std::popcount(equal_to(keys, key) & there);
      });
      m_.ties[block.number] = own.equal;
      above.fetch_add(own.above, std::memory_order_relaxed);
      equal.fetch_add(own.equal, std::memory_order_relaxed);
    });
    return {above, equal};
  }

  /// Whether the quota ends among the items that have this key.
  bool ends_at(key_type key, cut& at) {
    const cut_counts n = count(key);
    at = {simd::score_key_of(key), quota_ - n.above == n.equal ? cut::all : quota_ - n.above};
    return quota_ > n.above && quota_ <= n.above + n.equal;
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

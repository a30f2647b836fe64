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
        samples_(m_.samples + worker * cut_memory::sample_keys),
        histograms_(m_.histograms + worker * detail::histogram_buckets) {}

  /// Keeps the best `quota` of the unit's `items`.
  void run() {
    if (quota_ <= 0) return keep_none();
    if (quota_ >= items_) return keep_cut(cut::keep_all());
    if (items_ <= few_items) return keep_cut(cut_few());
    const bracket guess = guess_bracket();
    const bool fits = split(guess);
    if (fits && quota_ > from_high_ && quota_ <= from_high_ + listed_) {
      key_type kth = 0;
      if (kth_of_many(list(), listed_, quota_ - from_high_, spare(), spare_room(), kth))
        return keep_listed(kth);
    }
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
  key_type* list() const { return m_.list + first_block_ * cut_memory::listed_per_block; }
  index_t list_room() const {
    return blocks() * cut_memory::listed_per_block - cut_memory::slack;
  }
  key_type* spare() const { return m_.spare + first_block_ * cut_memory::spare_per_block; }
  index_t spare_room() const { return blocks() * cut_memory::spare_per_block - cut_memory::slack; }

  template <class F>
  void for_blocks(const backend& b, F&& f) const {
    level_.for_blocks(b, unit_.first_chunk, unit_.last_chunk, f);
  }

  /// Calls f(word, its keys, its ranked items) for the words of a block that have some.
  template <class F>
  void for_words(const item_block& block, F&& f) const {
    float buffer[simd::word_items];
    for (index_t w = 0; w < block.words(); ++w)
      if (const std::uint64_t there = level_.ranked(block, w); there != 0)
        f(w, simd::key_word::of(level_.scores(block, w, buffer)), there);
  }

  /// Of few items: all of them are listed.
  cut cut_few() const {
    index_t n = 0;
    for_blocks(backend{}, [&](const item_block& block, int) {
      for_words(block, [&](index_t, const simd::key_word& keys, std::uint64_t there) {
        n += simd::compress(keys, there, samples_ + n);
      });
    });
    return cut_at(kth_largest(samples_, n, quota_), samples_, n, quota_);
  }

  /// The cut after the k-th of n keys, which is `kth`.
  static cut cut_at(key_type kth, const key_type* keys, index_t n, index_t k) {
    const index_t above = simd::count_at_least(keys, n, kth + 1);
    const index_t equal = simd::count_at_least(keys, n, kth) - above;
    return {simd::score_key_of(kth), k - above == equal ? cut::all : k - above};
  }

  /// A few items of each of up to 1024 chunks.
  bracket guess_bracket() const {
    const index_t wanted = std::clamp<index_t>(items_ / 16, 512, most_samples);
    const index_t chunks = unit_.last_chunk - unit_.first_chunk;
    const index_t strata = std::min<index_t>(chunks, 1024);
    // Items of a word that are not ranked are tried in vain.
    const double places = static_cast<double>(blocks() * block_words * simd::word_items);
    const double tries = std::min(4.0, places / static_cast<double>(items_)) *
                         static_cast<double>(wanted) / static_cast<double>(strata);
    const auto tries_per_chunk = static_cast<index_t>(tries) + 1;
    std::uint64_t state = 0;
    index_t n = 0;
    for (index_t s = 0; s < strata; ++s) {
      const select_chunk c = level_.memory.map.chunk(unit_.first_chunk + s * chunks / strata);
      for (index_t i = 0; i < tries_per_chunk && n < most_samples; ++i)
        n += take_sample(c, state += 0x9e3779b97f4a7c15u, samples_ + n);
    }
    return bracket::around(samples_, n, quota_, items_);
  }

  /// Writes the key of a random item of a chunk; whether that is ranked.
  bool take_sample(const select_chunk& c, std::uint64_t seed, key_type* out) const {
    seed = (seed ^ seed >> 31) * 0xbf58476d1ce4e5b9u;
    const auto below = [&](std::uint64_t random, index_t n) {
      return static_cast<index_t>((random & 0xffffffffu) * static_cast<std::uint64_t>(n) >> 32);
    };
    const index_t token = c.first + below(seed >> 32, c.last - c.first);
    const int group = static_cast<int>(below(seed, level_.layout(*c.layer).width));
    if (!level_.is_ranked(c, token, group)) return false;
    *out = simd::signed_key(score_key(level_.score_row(c, token)[group]));
    return true;
  }

  /// Marks the items above a bracket and lists those inside. Whether the list has room for them.
  bool split(const bracket& guess) {
    std::atomic<index_t> from_high{0}, listed{0};
    for_blocks(b_, [&](const item_block& block, int) {
      key_type inside[block_words * simd::word_items + cut_memory::slack];
      std::uint64_t* const high_words = m_.high + block.number * block_words;
      std::uint64_t* const inside_words = m_.inside + block.number * block_words;
      std::fill_n(high_words, block_words, std::uint64_t{0});
      std::fill_n(inside_words, block_words, std::uint64_t{0});
      index_t above = 0, n = 0;
      for_words(block, [&](index_t w, const simd::key_word& keys, std::uint64_t there) {
        const std::uint64_t high = simd::at_least(keys, guess.high) & there;
        high_words[w] = high;
        inside_words[w] = simd::at_least(keys, guess.low) & ~high & there;
        above += std::popcount(high);
        n += simd::compress(keys, inside_words[w], inside + n);
      });
      from_high.fetch_add(above, std::memory_order_relaxed);
      const index_t at = listed.fetch_add(n, std::memory_order_relaxed);
      m_.places[block.number] = at;
      if (at + n <= list_room()) std::copy_n(inside, n, list() + at);
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
  void keep_listed(key_type kth) {
    const cut at = cut_at(kth, list(), listed_, quota_ - from_high_);
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
  key_type* samples_;
  index_t* histograms_;
  index_t from_high_ = 0, listed_ = 0;
};

}  // namespace select_detail
}  // namespace ROTA_CPU_ISA
}  // namespace rota::cpu

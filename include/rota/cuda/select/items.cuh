#pragma once

#include <rota/core/score_key.hpp>
#include <rota/cuda/block_scan.cuh>
#include <rota/cuda/select/table.cuh>

namespace rota::cuda {

/// Where a budget cuts a ranking of score keys: items above `key` are kept, and of the items that
/// have just this key the first `ties`.
struct score_cut {
  static constexpr std::uint32_t all = UINT32_MAX;

  std::uint32_t key = 0;
  std::uint32_t ties = all;

  ROTA_HD static constexpr score_cut keep_none() { return {UINT32_MAX, 0}; }  // no float's key
  ROTA_HD bool splits_ties() const { return ties != all && ties != 0; }
  /// Whether an item is kept; `rank` counts the items with the cut's key that came before it.
  ROTA_HD bool keeps(std::uint32_t item, std::uint32_t& rank) const {
    return item > key || (item == key && (ties == all || rank++ < ties));
  }
};

/// What decides the items of a thread: the floor of their row first, then the cut of their unit for
/// those that are left.
struct floored_cut {
  score_cut floor = score_cut::keep_none();
  score_cut main;
  std::uint32_t floor_rank = 0, rank = 0;  ///< items before with the cuts' keys

  ROTA_HD bool keeps(std::uint32_t item) {
    return floor.keeps(item, floor_rank) || main.keeps(item, rank);
  }
};

/// Score keys that a thread has under way at once.
inline constexpr int keys_in_flight = 4;

/// The tokens of a row that are ranked, as items of a budget.
struct token_items {
  ROTA_DEVICE static std::uint32_t key(const select_chunk& c, index_t i) {
    return score_key(ptx::load(c.layer.tokens + c.head * c.layer.token_head + i));
  }

  /// Calls f(key) for each ranked token of the thread, ascending.
  template <class F>
  ROTA_DEVICE static void for_each(const select_chunk& c, const std::uint8_t*, F&& f) {
    const index_t first = c.first + index_t{ptx::thread_index()} * select_thread_tokens;
    for (index_t i = first; i < first + select_thread_tokens && i < c.last; ++i)
      if (c.layer.is_ranked(i)) f(key(c, i));
  }

  /// Calls f(key) for each ranked token of the chunk, by all threads of a block, in no order:
  /// neighbouring threads read neighbouring scores.
  template <class F>
  ROTA_DEVICE static void for_all(const select_chunk& c, const std::uint8_t*, F&& f) {
    static_assert(select_thread_tokens == keys_in_flight);
    std::uint32_t keys[keys_in_flight];
    bool there[keys_in_flight];
    ROTA_UNROLL
    for (int k = 0; k < keys_in_flight; ++k) {
      const index_t i = c.first + k * select_threads + ptx::thread_index();
      there[k] = i < c.last && c.layer.is_ranked(i);
      keys[k] = there[k] ? key(c, i) : 0;
    }
    ROTA_UNROLL
    for (int k = 0; k < keys_in_flight; ++k)
      if (there[k]) f(keys[k]);
  }
};

/// The available groups of the ranked survivors. `alive`: [chunks, select_chunk_tokens].
struct group_items {
  ROTA_DEVICE static const float* scores(const select_chunk& c, index_t i) {
    return c.layer.groups + c.head * c.layer.group_head + i * c.layer.group_token;
  }

  template <class F>
  ROTA_DEVICE static void for_each(const select_chunk& c, const std::uint8_t* alive, F&& f) {
    const index_t first = c.first + index_t{ptx::thread_index()} * select_thread_tokens;
    for (index_t i = first; i < first + select_thread_tokens && i < c.last; ++i) {
      if (!c.layer.is_ranked(i)) continue;
      if (ptx::load(alive + c.number * select_chunk_tokens + (i - c.first)) == 0) continue;
      const unsigned available = c.layer.available_groups(c.head, i);
      for (int g = 0; g < c.layer.group_count; ++g)
        if ((available >> g & 1u) != 0) f(score_key(ptx::load(scores(c, i) + g)));
    }
  }

  /// As token_items::for_all(). A thread is at one group of every so many tokens; where the number
  /// of groups is no power of two, some threads have none.
  template <class F>
  ROTA_DEVICE static void for_all(const select_chunk& c, const std::uint8_t* alive, F&& f) {
    int shift = 0;
    while (1 << shift < c.layer.group_count) ++shift;
    const int thread = static_cast<int>(ptx::thread_index());
    const int g = thread & ((1 << shift) - 1), step = select_threads >> shift;
    if (g >= c.layer.group_count) return;
    const int tokens = static_cast<int>(c.last - c.first);
    for (int first = thread >> shift; first < tokens; first += keys_in_flight * step) {
      std::uint32_t keys[keys_in_flight];
      bool there[keys_in_flight];
      ROTA_UNROLL
      for (int k = 0; k < keys_in_flight; ++k) {
        const int j = first + k * step;
        there[k] = j < tokens && is_item(c, alive, j, g);
        keys[k] = there[k] ? score_key(ptx::load(scores(c, c.first + j) + g)) : 0;
      }
      ROTA_UNROLL
      for (int k = 0; k < keys_in_flight; ++k)
        if (there[k]) f(keys[k]);
    }
  }

 private:
  ROTA_DEVICE static bool is_item(const select_chunk& c, const std::uint8_t* alive, int j, int g) {
    const index_t i = c.first + j;
    return c.layer.is_ranked(i) && ptx::load(alive + c.number * select_chunk_tokens + j) != 0 &&
           (c.layer.available_groups(c.head, i) >> g & 1) != 0;
  }
};

/// One pass of cutting: its units, their cuts, and the chunks' ties. With floors there are two.
struct cut_pass {
  budget_scope scope = budget_scope::head;
  score_cut* cuts = nullptr;      ///< [units]
  std::uint32_t* ties = nullptr;  ///< [chunks]: items with the cut's key before the chunk

  ROTA_DEVICE score_cut cut_of(const select_table& table, const select_chunk& c) const {
    return cuts == nullptr ? score_cut::keep_none() : ptx::load(cuts + table.unit_of(scope, c));
  }
};

/// Calls f(key) for each item that the floor of its row leaves, in no order, by all threads of a
/// block. `at` stands before the thread's first item. Only where the floor keeps some of its ties
/// must every thread walk its own items, in their order, far from its neighbours'.
template <class Items, class F>
ROTA_DEVICE void for_all_left(const select_chunk& c, const std::uint8_t* alive, floored_cut at,
                              F&& f) {
  const auto left = [&](std::uint32_t key) {
    if (!at.floor.keeps(key, at.floor_rank)) f(key);
  };
  if (at.floor.splits_ties())
    Items::for_each(c, alive, left);
  else
    Items::for_all(c, alive, left);
}

/// The cut as it stands before the first item of the calling thread: by all threads of a block.
/// `scratch` is block_exclusive_sum()'s. Passes without cuts keep nothing.
template <class Items>
ROTA_DEVICE floored_cut start_cut(const select_table& table, const select_chunk& c,
                                  const std::uint8_t* alive, const cut_pass& floor,
                                  const cut_pass& main, ptx::shared_address scratch) {
  floored_cut at;
  at.floor = floor.cut_of(table, c);
  at.main = main.cut_of(table, c);
  if (at.floor.splits_ties()) {
    std::uint32_t own = 0;
    Items::for_each(c, alive, [&](std::uint32_t key) { own += key == at.floor.key; });
    at.floor_rank =
        ptx::load(floor.ties + c.number) + block_exclusive_sum<select_threads>(own, scratch).before;
  }
  if (at.main.splits_ties()) {
    std::uint32_t own = 0;
    std::uint32_t floor_rank = at.floor_rank;
    Items::for_each(c, alive, [&](std::uint32_t key) {
      own += !at.floor.keeps(key, floor_rank) && key == at.main.key;
    });
    at.rank =
        ptx::load(main.ties + c.number) + block_exclusive_sum<select_threads>(own, scratch).before;
  }
  return at;
}

}  // namespace rota::cuda

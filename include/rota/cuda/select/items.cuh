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

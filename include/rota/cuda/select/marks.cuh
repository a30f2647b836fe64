#pragma once

#include <type_traits>

#include <rota/cuda/select/quotas.cuh>
#include <rota/cuda/select/row_rule.cuh>

// What is kept, once the cuts are known: survivors, their masks, and the selection itself.

namespace rota::cuda {

/// Marks the survivors of a chunk and counts them and their groups: a block a chunk. Passes
/// without cuts: `everything` survives.
struct mark_tokens_kernel {
  static constexpr int threads = select_threads;
  static constexpr int least_blocks = 4;
  static constexpr std::uint32_t shared_bytes = 64;

  struct arguments {
    select_table table;
    cut_pass floor, main;
    bool everything;
    std::uint8_t* alive;  ///< [chunks, select_chunk_tokens]
    chunk_counts counts;
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const select_chunk c = a.table.chunk(ptx::block_x());
    floored_cut at =
        start_cut<token_items>(a.table, c, nullptr, a.floor, a.main, ptx::shared_base());
    const int first = static_cast<int>(ptx::thread_index()) * select_thread_tokens;
    std::uint32_t survivors = 0, items = 0, guarded = 0;
    for (int k = 0; k < select_thread_tokens; ++k) {
      const index_t i = c.first + first + k;
      bool stays = i >= c.layer.expired && i < c.last;
      if (stays && !a.everything && c.layer.is_ranked(i)) stays = at.keeps(token_items::key(c, i));
      ptx::store(a.alive + c.number * select_chunk_tokens + first + k,
                 static_cast<std::uint8_t>(stays));
      if (!stays) continue;
      const auto groups =
          static_cast<std::uint32_t>(ptx::count_bits(c.layer.available_groups(c.head, i)));
      ++survivors;
      items += groups;
      guarded += c.layer.is_ranked(i) ? 0 : groups;
    }
    survivors = block_exclusive_sum<threads>(survivors, ptx::shared_base()).total;
    items = block_exclusive_sum<threads>(items, ptx::shared_base()).total;
    guarded = block_exclusive_sum<threads>(guarded, ptx::shared_base()).total;
    if (ptx::thread_index() != 0) return;
    ptx::store(a.counts.survivors + c.number, survivors);
    ptx::store(a.counts.items + c.number, items);
    ptx::store(a.counts.guarded + c.number, guarded);
  }
};

/// What decides the groups where no budget by row does: the cuts of the passes, or nothing.
struct by_cuts {
  struct params {
    bool everything = false;  ///< survivors keep every group
  };
};

/// The masks of a chunk's survivors, and how many of these are written: a block a chunk. Rule is
/// by_cuts, or a budget that decides each token's groups alone.
template <class Rule>
struct mask_kernel {
  static constexpr int threads = select_threads;
  static constexpr int least_blocks = 2;
  // The scan's words, then a row of scores for each thread.
  static constexpr std::uint32_t shared_bytes = 64 + threads * sorted_row_bytes;

  struct arguments {
    typename Rule::params params;
    select_table table;
    cut_pass floor, main;
    std::uint8_t* alive;    ///< of tokens that are not written it becomes 0
    group_mask* masks;      ///< [chunks, select_chunk_tokens]
    std::uint32_t* counts;  ///< [chunks]: tokens that are written
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const select_chunk c = a.table.chunk(ptx::block_x());
    floored_cut at;
    if constexpr (cuts_items)
      at = start_cut<group_items>(a.table, c, a.alive, a.floor, a.main, ptx::shared_base());
    ptx::sync_block();  // below, threads change what start_cut() has read of their own tokens only
    const index_t base = c.number * select_chunk_tokens;
    const int first = static_cast<int>(ptx::thread_index()) * select_thread_tokens;
    std::uint32_t written = 0;
    for (int k = first; k < first + select_thread_tokens; ++k) {
      if (ptx::load(a.alive + base + k) == 0) continue;
      const index_t i = c.first + k;
      const group_mask mask = mask_of(a, c, i, at);
      const bool stays = mask != 0 || !c.layer.is_ranked(i) || !c.layer.drop_empty;
      ptx::store(a.masks + base + k, mask);
      if (!stays) ptx::store(a.alive + base + k, std::uint8_t{0});
      written += stays;
    }
    written = block_exclusive_sum<threads>(written, ptx::shared_base()).total;
    if (ptx::thread_index() == 0) ptx::store(a.counts + c.number, written);
  }

 private:
  static constexpr bool cuts_items = std::is_same_v<Rule, by_cuts>;

  ROTA_DEVICE static group_mask mask_of(const arguments& a, const select_chunk& c, index_t i,
                                        floored_cut& at) {
    const unsigned available = c.layer.available_groups(c.head, i);
    if (!c.layer.is_ranked(i)) return static_cast<group_mask>(available);
    if constexpr (cuts_items) {
      if (a.params.everything) return static_cast<group_mask>(available);
      unsigned mask = 0;
      for (int g = 0; g < c.layer.group_count; ++g)
        if ((available >> g & 1u) != 0 &&
            at.keeps(score_key(ptx::load(group_items::scores(c, i) + g))))
          mask |= 1u << g;
      return static_cast<group_mask>(mask);
    } else {
      const ptx::shared_array<float> sorted{ptx::shared_base() + 64 +
                                            ptx::thread_index() * sorted_row_bytes};
      return select_row<Rule>(a.params, c, i, available, sorted);
    }
  }
};

/// Calls f(k, place) for each token k of the chunk that the calling thread keeps, with its place
/// among the kept ones of the row; returns how many the row has up to the chunk's end. By all
/// threads of a block. `before`: [chunks], kept tokens of the row before the chunk.
template <class F>
ROTA_DEVICE index_t for_each_kept(const select_chunk& c, const std::uint8_t* alive,
                                  const std::uint32_t* before, F&& f) {
  const index_t base = c.number * select_chunk_tokens;
  const int first = static_cast<int>(ptx::thread_index()) * select_thread_tokens;
  std::uint32_t own = 0;
  for (int k = first; k < first + select_thread_tokens; ++k) own += ptx::load(alive + base + k);
  const block_sum sum = block_exclusive_sum<select_threads>(own, ptx::shared_base());
  const index_t start = ptx::load(before + c.number);
  index_t place = start + sum.before;
  for (int k = first; k < first + select_thread_tokens; ++k)
    if (ptx::load(alive + base + k) != 0) f(k, place++);
  return start + sum.total;
}

/// Writes the selection: a block a chunk, behind the chunks before it in its row.
struct write_selection_kernel {
  static constexpr int threads = select_threads;
  static constexpr int least_blocks = 4;
  static constexpr std::uint32_t shared_bytes = 64;

  struct arguments {
    select_table table;
    const std::uint8_t* alive;
    const group_mask* masks;
    const std::uint32_t* before;  ///< [chunks]: written tokens of the row before the chunk
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const select_chunk c = a.table.chunk(ptx::block_x());
    const index_t base = c.number * select_chunk_tokens;
    const index_t kept = for_each_kept(c, a.alive, a.before, [&](int k, index_t to) {
      ptx::store(c.layer.indices + c.head * c.layer.index_head + to,
                 static_cast<std::int32_t>(c.first + k));
      ptx::store(c.layer.masks + c.head * c.layer.mask_head + to, ptx::load(a.masks + base + k));
    });
    const bool last_of_row =
        c.first + select_chunk_tokens >= c.layer.chunks_per_head * select_chunk_tokens;
    if (last_of_row && ptx::thread_index() == 0)
      ptx::store(c.layer.counts + c.head, static_cast<std::int32_t>(kept));
  }
};

/// Rows of layers that can hold no token at all: their counts are 0. A thread a row.
struct empty_rows_kernel {
  static constexpr int threads = 64;
  static constexpr int least_blocks = 1;

  struct arguments {
    select_table table;
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t row = index_t{ptx::block_x()} * threads + ptx::thread_index();
    if (row >= a.table.rows) return;
    const select_entry l = ptx::load(a.table.layers + a.table.layer_of_row(row));
    if (l.chunks_per_head == 0) ptx::store(l.counts + (row - l.first_row), 0);
  }
};

}  // namespace rota::cuda

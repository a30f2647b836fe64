#pragma once

#include <rota/cuda/select/items.cuh>

// The cut of every unit, from the quota of items that it keeps: a radix search over the digits of
// the score keys, highest first, no sort. Integer sums do not depend on who adds them.

namespace rota::cuda {

inline constexpr int histogram_buckets = 2048;

/// A digit of a key.
struct key_digit {
  int shift, bits;
};
inline constexpr key_digit key_digits[] = {{21, 11}, {10, 11}, {0, 10}};

/// A unit's search.
struct cut_search {
  std::uint32_t prefix = 0;   ///< the digits found so far
  std::uint32_t missing = 0;  ///< items that are still to be found below the digits found
  std::uint32_t running = 0;  ///< 0: the cut is decided

  /// Of a unit that keeps `quota` of `items`.
  ROTA_HD static cut_search begin(index_t quota, index_t items, score_cut& cut) {
    cut = quota >= items ? score_cut{} : score_cut::keep_none();
    if (quota >= items || quota <= 0) return {};
    return {0, static_cast<std::uint32_t>(quota), 1};
  }
};

/// Counts a digit of the keys that agree with what their unit has found: a block a chunk.
template <class Items>
struct histogram_kernel {
  static constexpr int threads = select_threads;
  static constexpr int least_blocks = 4;
  // Buckets, then the scan's words.
  static constexpr std::uint32_t shared_bytes = histogram_buckets * 4 + 64;

  struct arguments {
    select_table table;
    const std::uint8_t* alive;
    cut_pass floor, pass;
    const cut_search* searches;  ///< [units]
    std::uint32_t* histograms;   ///< [units, histogram_buckets], zero
    key_digit digit;
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const select_chunk c = a.table.chunk(ptx::block_x());
    const index_t unit = a.table.unit_of(a.pass.scope, c);
    const cut_search search = ptx::load(a.searches + unit);
    if (search.running == 0) return;
    const ptx::shared_array<std::uint32_t> buckets{ptx::shared_base()};
    const ptx::shared_address scratch = ptx::shared_base() + histogram_buckets * 4;
    for (int i = static_cast<int>(ptx::thread_index()); i < histogram_buckets; i += threads)
      buckets.set(i, 0);
    cut_pass none;
    const floored_cut at = start_cut<Items>(a.table, c, a.alive, a.floor, none, scratch);
    ptx::sync_block();
    const int above = a.digit.shift + a.digit.bits;
    const std::uint32_t digits = (1u << a.digit.bits) - 1u;
    for_all_left<Items>(c, a.alive, at, [&](std::uint32_t key) {
      // 64 bits wide: the first digit has nothing above it and shifts by all 32.
      if ((std::uint64_t{key} >> above) == search.prefix)
        ptx::shared_add(buckets.at + 4 * (key >> a.digit.shift & digits), 1);
    });
    ptx::sync_block();
    for (int i = static_cast<int>(ptx::thread_index()); i < histogram_buckets; i += threads)
      if (const std::uint32_t count = buckets[i]; count != 0)
        ptx::atomic_add(a.histograms + unit * histogram_buckets + i, count);
  }
};

/// Finds the digit of a unit's cut in its histogram, and clears that: a block a unit.
struct choose_kernel {
  static constexpr int threads = 256;
  static constexpr int least_blocks = 1;
  static constexpr int own = histogram_buckets / threads;
  static constexpr std::uint32_t shared_bytes = 64;

  struct arguments {
    cut_search* searches;
    score_cut* cuts;
    std::uint32_t* histograms;
    key_digit digit;
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t unit = ptx::block_x();
    const cut_search search = ptx::load(a.searches + unit);
    if (search.running == 0) return;
    // Thread 0 has the highest buckets.
    const int top = histogram_buckets - 1 - static_cast<int>(ptx::thread_index()) * own;
    std::uint32_t counts[own], sum = 0;
    ROTA_UNROLL
    for (int i = 0; i < own; ++i) {
      std::uint32_t* const bucket = a.histograms + unit * histogram_buckets + top - i;
      counts[i] = ptx::load(bucket);
      ptx::store(bucket, 0);
      sum += counts[i];
    }
    // The block's sync in here also lets every thread read the search before one replaces it.
    std::uint32_t before = block_exclusive_sum<threads>(sum, ptx::shared_base()).before;
    ROTA_UNROLL
    for (int i = 0; i < own; ++i) {
      const std::uint32_t after = before + counts[i];
      if (before < search.missing && search.missing <= after)
        take(a, unit, search, static_cast<std::uint32_t>(top - i), search.missing - before,
             counts[i]);
      before = after;
    }
  }

 private:
  /// The cut goes through this bucket of `items`, of which `missing` are kept.
  ROTA_DEVICE static void take(const arguments& a, index_t unit, const cut_search& search,
                               std::uint32_t bucket, std::uint32_t missing, std::uint32_t items) {
    const std::uint32_t prefix = search.prefix << a.digit.bits | bucket;
    const bool last = a.digit.shift == 0;
    ptx::store(a.searches + unit, cut_search{prefix, missing, last ? 0u : 1u});
    if (last)
      ptx::store(a.cuts + unit, score_cut{prefix, missing == items ? score_cut::all : missing});
  }
};

/// How many items with their unit's key each chunk has: a block a chunk.
template <class Items>
struct count_ties_kernel {
  static constexpr int threads = select_threads;
  static constexpr int least_blocks = 4;
  static constexpr std::uint32_t shared_bytes = 64;

  struct arguments {
    select_table table;
    const std::uint8_t* alive;
    cut_pass floor, pass;
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const select_chunk c = a.table.chunk(ptx::block_x());
    const score_cut cut = a.pass.cut_of(a.table, c);
    std::uint32_t own = 0;
    if (cut.splits_ties()) {
      cut_pass none;
      const floored_cut at =
          start_cut<Items>(a.table, c, a.alive, a.floor, none, ptx::shared_base());
      for_all_left<Items>(c, a.alive, at, [&](std::uint32_t key) { own += key == cut.key; });
    }
    const std::uint32_t sum = block_exclusive_sum<threads>(own, ptx::shared_base()).total;
    if (ptx::thread_index() == 0) ptx::store(a.pass.ties + c.number, sum);
  }
};

/// Sums over the chunks before each one inside its unit, in place: a block a unit.
struct scan_chunks_kernel {
  static constexpr int threads = 256;
  static constexpr int least_blocks = 1;
  static constexpr std::uint32_t shared_bytes = 64;

  struct arguments {
    select_table table;
    budget_scope scope;
    std::uint32_t* sums;  ///< [chunks]
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const select_unit unit = a.table.unit(a.scope, ptx::block_x());
    std::uint32_t before = 0;
    for (index_t first = unit.first_chunk; first < unit.last_chunk; first += threads) {
      const index_t i = first + ptx::thread_index();
      const std::uint32_t own = i < unit.last_chunk ? ptx::load(a.sums + i) : 0;
      const block_sum sum = block_exclusive_sum<threads>(own, ptx::shared_base());
      if (i < unit.last_chunk) ptx::store(a.sums + i, before + sum.before);
      before += sum.total;
    }
  }
};

}  // namespace rota::cuda

#pragma once

#include <rota/cuda/select/cuts.cuh>

// How many items each unit keeps under a counting budget, asked of the budget on the device, where
// the lengths are.

namespace rota::cuda {

/// Items of one row.
struct row_items {
  index_t all = 0;        ///< what a budget counts
  index_t available = 0;  ///< those that can be had
  index_t guarded = 0;    ///< those of protected tokens, available too

  ROTA_DEVICE index_t ranked() const { return available - guarded; }
};

/// What a chunk's survivors are and have.
struct chunk_counts {
  std::uint32_t* survivors = nullptr;  ///< [chunks]
  std::uint32_t* items = nullptr;      ///< [chunks]: their available groups
  std::uint32_t* guarded = nullptr;    ///< [chunks]: those of protected tokens
};

/// Adds up the chunks of every row: a warp a row.
struct row_sums_kernel {
  static constexpr int threads = 128;
  static constexpr int least_blocks = 1;
  static constexpr int rows_a_block = threads / ptx::warp_threads;

  struct arguments {
    select_table table;
    chunk_counts chunks;
    row_items* rows;  ///< [rows]
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t row = index_t{ptx::block_x()} * rows_a_block + ptx::warp_index();
    if (row >= a.table.rows) return;
    const select_unit unit = a.table.unit(budget_scope::head, row);
    std::uint32_t survivors = 0, items = 0, guarded = 0;
    for (index_t i = unit.first_chunk + ptx::lane_index(); i < unit.last_chunk;
         i += ptx::warp_threads) {
      survivors += ptx::load(a.chunks.survivors + i);
      items += ptx::load(a.chunks.items + i);
      guarded += ptx::load(a.chunks.guarded + i);
    }
    survivors = ptx::warp_sum(survivors);
    items = ptx::warp_sum(items);
    guarded = ptx::warp_sum(guarded);
    if (ptx::lane_index() != 0) return;
    const index_t groups = ptx::load(&a.table.layers[a.table.layer_of_row(row)].group_count);
    ptx::store(a.rows + row, row_items{survivors * groups, items, guarded});
  }
};

/// The quotas of all units and what their searches start with: a warp a unit, whose lanes share out
/// its rows. Errors are reported: bad_count, budget_too_small.
template <class Budget>
struct quotas_kernel {
  static constexpr int threads = 128;
  static constexpr int least_blocks = 1;
  static constexpr int units_a_block = threads / ptx::warp_threads;

  struct arguments {
    typename Budget::params params;
    select_table table;
    const row_items* rows;       ///< [rows]; null: the items are tokens
    cut_search* searches;        ///< [units]
    score_cut* cuts;             ///< [units]
    cut_search* floor_searches;  ///< [rows], of a budget with floors
    score_cut* floor_cuts;
    culprit about;
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t number = index_t{ptx::block_x()} * units_a_block + ptx::warp_index();
    if (number >= a.table.units(Budget::scope)) return;
    const select_unit unit = a.table.unit(Budget::scope, number);
    const row_items sum = items_of(a, unit);
    const bool first_lane = ptx::lane_index() == 0;
    const select_entry l = ptx::load(a.table.layers + a.table.layer_of_row(unit.first_row));
    const index_t count =
        budget_count<Budget>(a.params, sum.all, l.place_of(unit.first_row - l.first_row));
    if (count < 0) {
      if (first_lane) report(a.fault, errc::bad_count, a.about);
      return;
    }
    index_t floors = 0;
    if constexpr (floored_budget<Budget>)
      if (!set_floors(a, unit, count, floors)) return;
    const index_t most = count < sum.available ? count : sum.available;
    const index_t quota = most - sum.guarded - floors;
    if (!first_lane) return;
    if (quota < 0) {
      report(a.fault, errc::budget_too_small, a.about);
      return;
    }
    score_cut cut;
    const cut_search search = cut_search::begin(quota, sum.ranked() - floors, cut);
    ptx::store(a.searches + number, search);
    ptx::store(a.cuts + number, cut);
  }

 private:
  ROTA_DEVICE static row_items items_of(const arguments& a, index_t row) {
    if (a.rows != nullptr) return ptx::load(a.rows + row);
    const select_entry l = ptx::load(a.table.layers + a.table.layer_of_row(row));
    return {l.n, l.n - l.expired, l.guarded_tokens()};
  }
  /// Of all rows of a unit.
  ROTA_DEVICE static row_items items_of(const arguments& a, const select_unit& unit) {
    row_items sum;
    for (index_t r = unit.first_row + ptx::lane_index(); r < unit.last_row;
         r += ptx::warp_threads) {
      const row_items row = items_of(a, r);
      sum.all += row.all;
      sum.available += row.available;
      sum.guarded += row.guarded;
    }
    return {ptx::warp_sum(sum.all), ptx::warp_sum(sum.available), ptx::warp_sum(sum.guarded)};
  }

  /// The floors of a unit's rows, and what they take in all.
  ROTA_DEVICE static bool set_floors(const arguments& a, const select_unit& unit, index_t count,
                                     index_t& taken) {
    const index_t floor = Budget::floor(a.params, count, unit.last_row - unit.first_row);
    if (floor < 0) {
      if (ptx::lane_index() == 0) report(a.fault, errc::bad_count, a.about);
      return false;
    }
    index_t own_rows = 0;
    for (index_t r = unit.first_row + ptx::lane_index(); r < unit.last_row;
         r += ptx::warp_threads) {
      const row_items row = items_of(a, r);
      const index_t wanted = floor - row.guarded;
      const index_t own = wanted < 0 ? 0 : wanted < row.ranked() ? wanted : row.ranked();
      score_cut cut;
      ptx::store(a.floor_searches + r, cut_search::begin(own, row.ranked(), cut));
      ptx::store(a.floor_cuts + r, cut);
      own_rows += own;
    }
    taken = ptx::warp_sum(own_rows);
    return true;
  }
};

/// A threshold decides each item alone: a thread a unit.
template <class Budget>
struct threshold_kernel {
  static constexpr int threads = 64;
  static constexpr int least_blocks = 1;

  struct arguments {
    typename Budget::params params;
    score_cut* cuts;
    index_t units;
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t unit = index_t{ptx::block_x()} * threads + ptx::thread_index();
    if (unit >= a.units) return;
    ptx::store(a.cuts + unit, score_cut{score_key(Budget::threshold(a.params)), score_cut::all});
  }
};

/// Reports what a budget finds wrong with parameters that the host cannot see.
template <class Budget>
struct check_budget_kernel {
  static constexpr int threads = 32;
  static constexpr int least_blocks = 1;

  struct arguments {
    typename Budget::params params;
    culprit about;
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault) || ptx::thread_index() != 0) return;
    const status s = Budget::check_on_device(a.params);
    if (!s.ok()) report(a.fault, s.code, a.about);
  }
};

}  // namespace rota::cuda

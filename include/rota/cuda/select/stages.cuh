#pragma once

#include <span>

#include <rota/core/workspace.hpp>
#include <rota/cuda/launch.cuh>
#include <rota/cuda/select/device_budget.cuh>
#include <rota/cuda/select/marks.cuh>
#include <rota/cuda/select/stage_layers.cuh>

// The stages of a selection, as the host launches them.

namespace rota::cuda::detail {

/// Scratch memory of a selection, and the map of its layers.
struct select_memory {
  select_table table;
  std::uint8_t* alive = nullptr;
  group_mask* masks = nullptr;
  chunk_counts counts;
  std::uint32_t* written = nullptr;
  cut_pass floor, main;  ///< with their memory; the scopes are the budget's
  cut_search* floor_searches = nullptr;
  cut_search* searches = nullptr;
  std::uint32_t* histograms = nullptr;
  row_items* rows = nullptr;

  select_memory(carver& from, std::span<const select_problem> problems, index_t layers)
      : table(table_of(problems, layers)) {
    table.layers = from.take<select_entry>(layers);
    alive = from.take<std::uint8_t>(table.chunks * select_chunk_tokens);
    masks = from.take<group_mask>(table.chunks * select_chunk_tokens);
    counts.survivors = from.take<std::uint32_t>(table.chunks);
    counts.items = from.take<std::uint32_t>(table.chunks);
    counts.guarded = from.take<std::uint32_t>(table.chunks);
    written = from.take<std::uint32_t>(table.chunks);
    for (cut_pass* pass : {&floor, &main}) {
      pass->cuts = from.take<score_cut>(table.rows);
      pass->ties = from.take<std::uint32_t>(table.chunks);
    }
    floor_searches = from.take<cut_search>(table.rows);
    searches = from.take<cut_search>(table.rows);
    histograms = from.take<std::uint32_t>(table.rows * histogram_buckets);
    rows = from.take<row_items>(table.rows);
  }
};

/// Sends the layers' entries to the device.
inline status stage_layers(const backend& b, const select_memory& m,
                           std::span<const select_problem> problems,
                           std::span<const layer_scores> scores, std::span<const selection> out) {
  return stage_layers(b, m.table, [&](index_t l) {
    const auto i = static_cast<std::size_t>(l);
    return entry_of(problem_of(problems, l), scores[i], out[i]);
  });
}

/// Finds the cuts of all units of a pass from their searches. `floor`: cuts that come first.
template <class Items>
status find_cuts(const backend& b, const select_memory& m, const cut_pass& floor,
                 const cut_pass& pass, cut_search* searches) {
  const index_t units = m.table.units(pass.scope);
  for (const key_digit digit : key_digits) {
    if (status s = launch<histogram_kernel<Items>>(
            b, {m.table.chunks},
            {m.table, m.alive, floor, pass, searches, m.histograms, digit, b.fault},
            histogram_kernel<Items>::shared_bytes);
        !s)
      return s;
    if (status s =
            launch<choose_kernel>(b, {units}, {searches, pass.cuts, m.histograms, digit, b.fault},
                                  choose_kernel::shared_bytes);
        !s)
      return s;
  }
  if (status s = launch<count_ties_kernel<Items>>(b, {m.table.chunks},
                                                  {m.table, m.alive, floor, pass, b.fault},
                                                  count_ties_kernel<Items>::shared_bytes);
      !s)
    return s;
  return launch<scan_chunks_kernel>(b, {units}, {m.table, pass.scope, pass.ties, b.fault},
                                    scan_chunks_kernel::shared_bytes);
}

/// Checks the parameters of a budget that the host cannot see.
template <class Budget>
status check_values([[maybe_unused]] const backend& b,
                    [[maybe_unused]] const typename Budget::params& params,
                    [[maybe_unused]] culprit about) {
  if constexpr (checked_on_device<Budget>)
    return launch<check_budget_kernel<Budget>>(b, {1}, {params, about, b.fault});
  else
    return {};
}

/// Decides the cuts of a level. Sets the passes that are in force; a pass without cuts is not.
template <class Items, class Budget>
status cut_level(const backend& b, const select_memory& m, const typename Budget::params& params,
                 const row_items* rows, culprit about, cut_pass& floor, cut_pass& main) {
  floor = {};
  main = m.main;
  if (status s = check_values<Budget>(b, params, about); !s) return s;
  if constexpr (counting_budget<Budget>) {
    main.scope = Budget::scope;
    using kernel = quotas_kernel<Budget>;
    if (status s =
            launch<kernel>(b, {blocks_of(m.table.units(Budget::scope), kernel::units_a_block)},
                           {params, m.table, rows, m.searches, m.main.cuts, m.floor_searches,
                            m.floor.cuts, about, b.fault});
        !s)
      return s;
    if constexpr (floored_budget<Budget>) {
      cut_pass floors = m.floor;
      floors.scope = budget_scope::head;
      if (status s = find_cuts<Items>(b, m, floor, floors, m.floor_searches); !s) return s;
      floor = floors;
    }
    return find_cuts<Items>(b, m, floor, main, m.searches);
  } else {
    main.scope = budget_scope::span;
    return launch<threshold_kernel<Budget>>(
        b, {1}, {params, main.cuts, m.table.units(main.scope), b.fault});
  }
}

/// Writes 0 to words.
struct clear_kernel {
  static constexpr int threads = 256;
  static constexpr int least_blocks = 1;

  struct arguments {
    std::uint32_t* words;
    index_t count;
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    const index_t i = index_t{ptx::block_x()} * threads + ptx::thread_index();
    if (!failed(a.fault) && i < a.count) ptx::store(a.words + i, 0);
  }
};

inline status launch_clear(const backend& b, std::uint32_t* words, index_t count) {
  return launch<clear_kernel>(b, {blocks_of(count, clear_kernel::threads)},
                              {words, count, b.fault});
}

template <level_budget Budget>
status mark_tokens(const backend& b, const select_memory& m,
                   [[maybe_unused]] const typename Budget::params& params) {
  cut_pass floor, main;
  if constexpr (selects_by<Budget>)
    if (status s =
            cut_level<token_items, Budget>(b, m, params, nullptr, culprit::tokens, floor, main);
        !s)
      return s;
  return launch<mark_tokens_kernel>(
      b, {m.table.chunks}, {m.table, floor, main, !selects_by<Budget>, m.alive, m.counts, b.fault},
      mark_tokens_kernel::shared_bytes);
}

template <class Rule>
status launch_masks(const backend& b, const select_memory& m, const typename Rule::params& params,
                    const cut_pass& floor, const cut_pass& main) {
  return launch<mask_kernel<Rule>>(
      b, {m.table.chunks}, {params, m.table, floor, main, m.alive, m.masks, m.written, b.fault},
      mask_kernel<Rule>::shared_bytes);
}

/// By a budget that decides each token's groups alone.
template <class Budget>
status mask_by_rows(const backend& b, const select_memory& m,
                    const typename Budget::params& params) {
  if (status s = check_values<Budget>(b, params, culprit::groups); !s) return s;
  if (status s =
          launch<check_rows_kernel<Budget>>(b, {m.table.layer_count}, {params, m.table, b.fault});
      !s)
    return s;
  return launch_masks<Budget>(b, m, params, {}, {});
}

template <level_budget Budget>
status mask_groups(const backend& b, const select_memory& m,
                   const typename Budget::params& params) {
  if constexpr (decides_rows<Budget>) {
    return mask_by_rows<Budget>(b, m, params);
  } else {
    cut_pass floor, main;
    if constexpr (counting_budget<Budget>)
      if (status s =
              launch<row_sums_kernel>(b, {blocks_of(m.table.rows, row_sums_kernel::rows_a_block)},
                                      {m.table, m.counts, m.rows, b.fault});
          !s)
        return s;
    if constexpr (selects_by<Budget>)
      if (status s =
              cut_level<group_items, Budget>(b, m, params, m.rows, culprit::groups, floor, main);
          !s)
        return s;
    return launch_masks<by_cuts>(b, m, {!selects_by<Budget>}, floor, main);
  }
}

/// Decides what is kept: m.alive, m.masks, and m.written, the tokens of a row before each chunk.
template <level_budget Tokens, level_budget Groups>
status decide(const backend& b, const select_memory& m, const typename Tokens::params& token_params,
              const typename Groups::params& group_params) {
  if (status s = launch_clear(b, m.histograms, m.table.rows * histogram_buckets); !s) return s;
  if (status s = mark_tokens<Tokens>(b, m, token_params); !s) return s;
  if (status s = mask_groups<Groups>(b, m, group_params); !s) return s;
  return launch<scan_chunks_kernel>(b, {m.table.rows},
                                    {m.table, budget_scope::head, m.written, b.fault},
                                    scan_chunks_kernel::shared_bytes);
}

/// A selection without its checks, once the layers' entries are on the device.
template <level_budget Tokens, level_budget Groups>
status select_staged(const backend& b, const select_memory& m,
                     const typename Tokens::params& token_params,
                     const typename Groups::params& group_params) {
  if (status s = decide<Tokens, Groups>(b, m, token_params, group_params); !s) return s;
  if (status s = launch<empty_rows_kernel>(b, {blocks_of(m.table.rows, empty_rows_kernel::threads)},
                                           {m.table, b.fault});
      !s)
    return s;
  return launch<write_selection_kernel>(b, {m.table.chunks},
                                        {m.table, m.alive, m.masks, m.written, b.fault},
                                        write_selection_kernel::shared_bytes);
}

}  // namespace rota::cuda::detail

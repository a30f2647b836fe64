#pragma once

#include <rota/cuda/select/items.cuh>

// Budgets that decide each token's groups alone.

namespace rota::cuda {

template <class Budget>
concept decides_rows = row_budget<Budget> || typed_budget<Budget> ||
    (counting_budget<Budget>&& requires { requires Budget::scope == budget_scope::row; });

/// The best k of one token's available groups: ties to the smaller group.
ROTA_DEVICE group_mask best_of_row(const float* scores, unsigned available, int groups, index_t k) {
  if (k >= ptx::count_bits(available)) return static_cast<group_mask>(available);
  unsigned best = 0;
  for (index_t kept = 0; kept < k; ++kept) {
    int top = -1;
    std::uint32_t top_key = 0;
    for (int g = 0; g < groups; ++g) {
      if (((available & ~best) >> g & 1u) == 0) continue;
      const std::uint32_t key = score_key(ptx::load(scores + g));
      if (top >= 0 && key <= top_key) continue;
      top = g;
      top_key = key;
    }
    best |= 1u << top;
  }
  return static_cast<group_mask>(best);
}

/// Writes the available scores that are not NaN, best first; returns how many. Into shared memory:
/// an array of the thread's own that is indexed by a variable would lie in local memory.
ROTA_DEVICE int sort_row(const float* scores, unsigned available, int groups,
                         ptx::shared_array<float> descending) {
  int n = 0;
  for (int g = 0; g < groups; ++g) {
    if ((available >> g & 1u) == 0) continue;
    const float score = ptx::load(scores + g);
    if (score != score) continue;
    int at = n++;
    for (; at > 0 && descending[at - 1] < score; --at) descending.set(at, descending[at - 1]);
    descending.set(at, score);
  }
  return n;
}

/// Bytes between the threads' rows of scores in shared memory: rows start in different banks.
inline constexpr std::uint32_t sorted_row_bytes = (max_groups + 1) * 4;

/// What a budget keeps of token i of a row, absent groups counted. `sorted`: max_groups floats of
/// the thread's own, for budgets that read a token's scores.
template <class Budget>
ROTA_DEVICE group_mask select_row(const typename Budget::params& params, const select_chunk& c,
                                  index_t i, unsigned available,
                                  [[maybe_unused]] ptx::shared_array<float> sorted) {
  const float* const scores = group_items::scores(c, i);
  const int groups = c.layer.group_count;
  if constexpr (typed_budget<Budget>) {
    const int type = c.layer.types != nullptr ? ptx::load(c.layer.types + i) : 0;
    return best_of_row(scores, available, groups, Budget::count_of_type(params, groups, type));
  } else if constexpr (counting_budget<Budget>) {
    return best_of_row(scores, available, groups,
                       budget_count<Budget>(params, groups, c.layer.place_of(c.head)));
  } else {
    const int n = sort_row(scores, available, groups, sorted);
    const int k =
        Budget::row_count(params, ptx::shared_pointer<const float>(sorted.at, max_groups), n);
    // NaN ranks last, so it is never among the best n.
    return best_of_row(scores, available, groups, k < n ? k : n);
  }
}

/// Reports types that the budget does not have, and negative counts: a block a layer.
template <class Budget>
struct check_rows_kernel {
  static constexpr int threads = 256;
  static constexpr int least_blocks = 1;

  struct arguments {
    typename Budget::params params;
    select_table table;
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const select_entry l = ptx::load(a.table.layers + ptx::block_x());
    if constexpr (typed_budget<Budget>) {
      if (l.types == nullptr) return;
      for (index_t i = ptx::thread_index(); i < l.n; i += threads)
        if (ptx::load(l.types + i) >= Budget::types)
          report(a.fault, errc::bad_parameter, culprit::types);
    } else if constexpr (counting_budget<Budget>) {
      const index_t items = ptx::thread_index();
      for (index_t h = 0; items <= max_groups && h < l.kv_heads; ++h)
        if (budget_count<Budget>(a.params, items, l.place_of(h)) < 0)
          report(a.fault, errc::bad_count, culprit::groups);
    }
  }
};

}  // namespace rota::cuda

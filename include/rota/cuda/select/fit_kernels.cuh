#pragma once

#include <rota/attend/fit_ratio.hpp>
#include <rota/cuda/select/weigh.cuh>
#include <rota/store/step_search.hpp>

// The search for the largest budget whose stores fit a number of bytes, one thread of which decides
// what is tried next.

namespace rota::cuda {

/// What is tried at the moment.
template <class Op>
struct fit_trial {
  step_search search;
  typename Op::token_selector::budget::params tokens;
  typename Op::group_selector::budget::params groups;
};

template <class Op, class SetRatio>
struct fit_arguments {
  select_table table;
  const packed_shape* shapes;  ///< [layers]
  const row_weight* rows;
  typename Op::params params;
  SetRatio set_ratio;
  index_t limit;
  fit_trial<Op>* trial;
  std::uint32_t* trial_fault;  ///< not zero: the try failed, or the search has ended
  double* ratio;
  std::uint32_t* fault;
};

namespace detail {

/// What the fault word of the tries is after the search: their kernels return at once.
inline constexpr std::uint32_t search_has_ended = UINT32_MAX;

/// Makes a step what is tried, or selected in the end.
template <class Op, class SetRatio>
ROTA_DEVICE void try_ratio(const fit_arguments<Op, SetRatio>& a, const step_search& search,
                           index_t step) {
  typename Op::params p = a.params;
  a.set_ratio(p, static_cast<double>(step) / fit_ratio_steps);
  ptx::store(a.trial, fit_trial<Op>{search, p.tokens.budget, p.groups.budget});
}

}  // namespace detail

/// Starts the search with all there is.
template <class Op, class SetRatio>
struct begin_fit_kernel {
  static constexpr int threads = 32;
  static constexpr int least_blocks = 1;
  using arguments = fit_arguments<Op, SetRatio>;

  ROTA_DEVICE static void run(const arguments& a) {
    const bool lost = failed(a.fault);
    if (ptx::thread_index() != 0) return;
    ptx::store(a.trial_fault, lost ? detail::search_has_ended : 0u);
    const step_search search = step_search::over(fit_ratio_steps);
    detail::try_ratio(a, search, search.next);
  }
};

/// Takes what a try has shown, and says what is tried next: a warp.
template <class Op, class SetRatio>
struct fit_step_kernel {
  static constexpr int threads = ptx::warp_threads;
  static constexpr int least_blocks = 1;
  using arguments = fit_arguments<Op, SetRatio>;

  ROTA_DEVICE static void run(const arguments& a) {
    const std::uint32_t found = ptx::load(a.trial_fault);
    if (failed(a.fault) || found == detail::search_has_ended) return;
    const bool too_small = (found & 0xffu) == static_cast<std::uint32_t>(errc::budget_too_small);
    const index_t bytes = found == 0 ? weigh(a) : -1;
    if (ptx::lane_index() != 0) return;
    if (found != 0 && !too_small) {
      ptx::atomic_exchange_if(a.fault, 0u, found);
      ptx::store(a.trial_fault, detail::search_has_ended);
      return;
    }
    step_search search = ptx::load(&a.trial->search);
    search.take(bytes, a.limit);
    ptx::store(a.trial_fault, search.done() ? detail::search_has_ended : 0u);
    if (!search.done()) {
      detail::try_ratio(a, search, search.next);
    } else if (search.best < 0) {
      report(a.fault, errc::budget_too_small, culprit::limit);
    } else {
      detail::try_ratio(a, search, search.best);
      ptx::store(a.ratio, static_cast<double>(search.best) / fit_ratio_steps);
    }
  }

 private:
  /// Bytes of all layers.
  ROTA_DEVICE static index_t weigh(const arguments& a) {
    std::int64_t bytes = 0;
    for (index_t l = ptx::lane_index(); l < a.table.layer_count; l += ptx::warp_threads)
      bytes += weigh_layer(a.table, l, ptx::load(a.shapes + l), a.rows);
    return ptx::warp_sum(bytes);
  }
};

}  // namespace rota::cuda

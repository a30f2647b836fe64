#pragma once

#include <rota/cuda/ptx/memory.cuh>
#include <rota/policy/concepts.hpp>

namespace rota::cuda {

/// Another budget, with its parameters in device memory: a count or a ratio that an earlier kernel
/// computes, or that a captured graph finds changed at every replay.
///
///   rota::tokens<rota::key_norm, rota::cuda::device_budget<rota::keep_ratio>>
///
/// The parameters are checked on the device, by the budget's own check(), which must be ROTA_HD (of
/// all stock budgets it is): its code, about "tokens" or "groups". Stores made with it cannot be
/// saved under its name, because the values are not known: save them by the budget itself.
template <budget Budget>
struct device_budget {
  using policy_kind = budget_tag;
  struct params {
    const typename Budget::params* at = nullptr;  ///< device memory, aligned
  };
  static constexpr budget_scope scope = rota::detail::scope_of<Budget>();
  static constexpr int types = rota::detail::types_of<Budget>();

  static status check(const params& p) {
    if (p.at == nullptr) return {errc::null_view, "at"};
    if (reinterpret_cast<std::uintptr_t>(p.at) % alignof(typename Budget::params) != 0)
      return {errc::bad_alignment, "at"};
    return {};
  }
  ROTA_DEVICE static status check_on_device(const params& p) { return Budget::check(values(p)); }

  ROTA_HD static index_t count(const params& p,
                               index_t items) requires rota::detail::counts_items<Budget> {
    return Budget::count(values(p), items);
  }
  ROTA_HD static index_t count(const params& p, index_t items, const budget_place& at) requires
      rota::detail::counts_by_place<Budget> {
    return Budget::count(values(p), items, at);
  }
  ROTA_HD static index_t floor(const params& p, index_t count,
                               index_t rows) requires floored_budget<Budget> {
    return Budget::floor(values(p), count, rows);
  }
  ROTA_HD static float threshold(const params& p) requires threshold_budget<Budget> {
    return Budget::threshold(values(p));
  }
  ROTA_HD static int row_count(const params& p, const float* descending,
                               int n) requires row_budget<Budget> {
    return Budget::row_count(values(p), descending, n);
  }
  ROTA_HD static index_t count_of_type(const params& p, index_t items,
                                       int type) requires typed_budget<Budget> {
    return Budget::count_of_type(values(p), items, type);
  }

 private:
  ROTA_HD static typename Budget::params values(const params& p) {
    return ptx::load_on_device(p.at);
  }
};

/// A budget whose parameters only the device can check.
template <class Budget>
concept checked_on_device = requires(const typename Budget::params& p) {
  { Budget::check_on_device(p) } -> std::same_as<status>;
};

}  // namespace rota::cuda

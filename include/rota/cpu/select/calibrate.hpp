#pragma once

#include <cmath>
#include <limits>

#include <rota/budget/entropy_span.hpp>
#include <rota/core/score_key.hpp>
#include <rota/core/types.hpp>
#include <rota/core/workspace.hpp>
#include <rota/cpu/select/cut.hpp>
#include <rota/cpu/select/row_stage.hpp>

namespace rota::cpu {

namespace detail {

/// The score that has this key; -infinity for the key of NaN.
inline float score_of(std::uint32_t key) {
  if (key == 0) return -std::numeric_limits<float>::infinity();
  return bit_cast<float>(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

/// What calibration asks of scores [kv_heads, n, S] and a mean number of groups.
inline status check_calibration(const backend& b, const view<const float, 3>& scores,
                                double mean_k) {
  if (status s = check_backend(b); !s) return s;
  if (status s = check_view(scores, "scores"); !s) return s;
  if (scores.empty()) return {errc::bad_shape, "scores"};
  if (!(mean_k >= 0 && mean_k <= static_cast<double>(scores.extent[2])))
    return {errc::bad_parameter, "mean_k"};
  return {};
}

/// The cut that keeps `mean_k` groups of a token on average. `for_each_in_row(row, f)` calls
/// f(key) for each group of a token.
template <class ForEachInRow>
cut cut_at_mean(const backend& b, const view<const float, 3>& scores, double mean_k,
                index_t* histograms, ForEachInRow&& for_each_in_row) {
  const index_t heads = scores.extent[0], n = scores.extent[1], groups = scores.extent[2];
  constexpr index_t chunk_tokens = 1024;
  const index_t per_head = (n + chunk_tokens - 1) / chunk_tokens;
  const auto for_each_key = [&](index_t chunk, auto&& f) {
    const index_t first = chunk % per_head * chunk_tokens;
    for (index_t i = first; i < std::min(n, first + chunk_tokens); ++i)
      for_each_in_row(scores.row(chunk / per_head, i), f);
  };
  const index_t count = std::llround(mean_k * static_cast<double>(heads * n));
  return find_cut(b, histograms, 0, heads * per_head, count, heads * n * groups, for_each_key);
}

}  // namespace detail

/// Bytes that calibrate_span() needs.
inline std::size_t calibrate_span_workspace_bytes(const backend& b) {
  carver count;
  count.take<index_t>(b.exec.threads * detail::histogram_buckets);
  return count.bytes();
}

/// The threshold of adaptive_span at which the tokens of these scores [kv_heads, n, S] keep
/// `mean_k` groups on average: tau is the M-th best score, M = mean_k * kv_heads * n to the
/// nearest. Every item that equals tau is kept, so ties can only raise the mean. M = 0 gives
/// +infinity; M of all items, or more than are not NaN, gives -infinity (NaN scores are never
/// kept). Errors: null_view, bad_shape, bad_stride ("scores"; they may not be empty),
/// bad_parameter ("mean_k", outside [0, S]), workspace_too_small, overlapping_memory; tau is then
/// untouched.
inline status calibrate_span(const backend& b, view<const float, 3> scores, double mean_k,
                             float& tau, workspace ws) {
  if (status s = detail::check_calibration(b, scores, mean_k); !s) return s;
  carver from(ws);
  index_t* const histograms = from.take<index_t>(b.exec.threads * detail::histogram_buckets);
  if (status s = from.check(); !s) return s;
  if (overlaps({ws.data, ws.bytes}, range_of(scores))) return {errc::overlapping_memory, "ws"};
  const index_t groups = scores.extent[2];
  const detail::cut at =
      detail::cut_at_mean(b, scores, mean_k, histograms, [groups](const float* row, auto&& f) {
        for (index_t g = 0; g < groups; ++g) f(score_key(row[g]));
      });
  tau = at.ties == 0 ? std::numeric_limits<float>::infinity() : detail::score_of(at.key);
  return {};
}

/// Bytes that calibrate_entropy_span() needs.
inline std::size_t calibrate_entropy_span_workspace_bytes(const backend& b) {
  return calibrate_span_workspace_bytes(b);
}

/// The mass of entropy_span at which the tokens of these scores [kv_heads, n, S] keep `mean_k`
/// groups on average: a token keeps its (k + 1)-th best group when the mass of its best k falls
/// short of it, so the mass lies just above the M-th smallest of those, M = mean_k * kv_heads * n
/// to the nearest. Groups that share that number are all kept, so ties can only raise the mean: one
/// group of each token needs no mass at all, and any M from 1 to kv_heads * n gives each one. M = 0
/// gives 0. S at most max_groups. Errors as calibrate_span(), and bad_shape for more groups.
inline status calibrate_entropy_span(const backend& b, view<const float, 3> scores, double mean_k,
                                     double& mass, workspace ws) {
  if (status s = detail::check_calibration(b, scores, mean_k); !s) return s;
  if (scores.extent[2] > max_groups) return {errc::bad_shape, "scores"};
  carver from(ws);
  index_t* const histograms = from.take<index_t>(b.exec.threads * detail::histogram_buckets);
  if (status s = from.check(); !s) return s;
  if (overlaps({ws.data, ws.bytes}, range_of(scores))) return {errc::overlapping_memory, "ws"};
  const group_mask all = full_mask(static_cast<int>(scores.extent[2]));
  // The smaller the mass before a group, the larger its key; NaN, never kept, has none.
  const detail::cut at =
      detail::cut_at_mean(b, scores, mean_k, histograms, [all](const float* row, auto&& f) {
        float descending[max_groups];
        std::uint32_t before[max_groups];
        const int n = detail::sort_row(row, all, descending);
        entropy_span::masses_before(descending, n, before);
        for (int g = 0; g < n; ++g) f(UINT32_MAX - 1 - before[g]);
        for (int g = n; g < std::popcount(all); ++g) f(std::uint32_t{0});
      });
  const std::uint64_t units = at.ties == 0 ? 0 : std::uint64_t{UINT32_MAX} - at.key;
  mass = static_cast<double>(std::min(units, entropy_span::whole)) /
         static_cast<double>(entropy_span::whole);
  return {};
}

}  // namespace rota::cpu

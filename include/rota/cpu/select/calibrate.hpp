#pragma once

#include <cmath>
#include <limits>

#include <rota/core/score_key.hpp>
#include <rota/core/types.hpp>
#include <rota/core/workspace.hpp>
#include <rota/cpu/select/cut.hpp>

namespace rota::cpu {

namespace detail {

/// The score that has this key; -infinity for the key of NaN.
inline float score_of(std::uint32_t key) {
  if (key == 0) return -std::numeric_limits<float>::infinity();
  return bit_cast<float>(key & 0x80000000u ? key & 0x7fffffffu : ~key);
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
/// bad_parameter ("mean_k", outside [0, S]), workspace_too_small; tau is then untouched.
inline status calibrate_span(const backend& b, view<const float, 3> scores, double mean_k,
                             float& tau, workspace ws) {
  if (status s = check_view(scores, "scores"); !s) return s;
  if (scores.empty()) return {errc::bad_shape, "scores"};
  const index_t heads = scores.extent[0], n = scores.extent[1], groups = scores.extent[2];
  if (!(mean_k >= 0 && mean_k <= static_cast<double>(groups)))
    return {errc::bad_parameter, "mean_k"};
  carver from(ws);
  index_t* const histograms = from.take<index_t>(b.exec.threads * detail::histogram_buckets);
  if (status s = from.check(); !s) return s;

  constexpr index_t chunk_tokens = 1024;
  const index_t per_head = (n + chunk_tokens - 1) / chunk_tokens;
  const auto for_each_key = [&](index_t chunk, auto&& f) {
    const index_t first = chunk % per_head * chunk_tokens;
    for (index_t i = first; i < std::min(n, first + chunk_tokens); ++i) {
      const float* const row = scores.row(chunk / per_head, i);
      for (index_t g = 0; g < groups; ++g) f(score_key(row[g]));
    }
  };
  const index_t count = std::llround(mean_k * static_cast<double>(heads * n));
  const detail::cut at =
      detail::find_cut(b, histograms, 0, heads * per_head, count, heads * n * groups, for_each_key);
  tau = count == 0 ? std::numeric_limits<float>::infinity() : detail::score_of(at.key);
  return {};
}

}  // namespace rota::cpu

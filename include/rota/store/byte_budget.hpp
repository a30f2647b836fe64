#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>

#include <rota/store/packed_size.hpp>
#include <rota/store/step_search.hpp>

namespace rota {

/// From bytes to counts: what a packed store of one sequence and layer may weigh.
struct byte_problem {
  packed_shape shape;
  index_t tokens = 0;  ///< n
  protection protect;
  /// Kept fraction of the survivors' value groups, in [0, 1]: keep_ratio's at the group level.
  double rho = 1;
  /// Bytes of the sealed part: header, tables, means, records. The tail is outside every budget.
  index_t limit = 0;
  /// Whether every kv head keeps the same number of tokens (budgets of scope row or head). If
  /// not, only the sum over the heads is known, and heads may fill their records less well.
  bool even_heads = true;
};

namespace detail {

/// What rounding `count` runs of whole rows of `bytes` up to record_alignment can add at most.
constexpr index_t alignment_slack(index_t bytes, index_t count) {
  return count * (record_alignment - std::gcd(bytes, record_alignment));
}

}  // namespace detail

/// Upper bound of the sealed bytes of a packed store with so many tokens, kept groups (slices) and
/// records in all, however the slices are spread over the records.
inline index_t sealed_bytes_bound(const packed_shape& s, index_t tokens, index_t slices,
                                  index_t records) {
  const record_shape& r = s.record;
  index_t index = records * static_cast<index_t>(sizeof(record_header)) + 4 * tokens;
  if (slices < tokens * r.groups()) {
    if (s.order == value_order::token_major) index += 4 * tokens + 2 * records;  // masks, starts
    if (s.order == value_order::group_major) index += 2 * (r.groups() + 1) * records + slices;
    if (r.code_rank > 0)
      index += tokens * r.code_bytes() + detail::alignment_slack(r.code_bytes(), records);
  }
  index += tokens * r.sizes.key_scale + slices * r.sizes.value_scale;
  if (r.sizes.key_scale + r.sizes.value_scale > 0) index += records;  // scales start at even bytes
  const index_t bytes = index + detail::alignment_slack(1, records) + tokens * r.key_bytes() +
                        detail::alignment_slack(r.key_bytes(), records) + slices * r.slice_bytes() +
                        detail::alignment_slack(r.slice_bytes(), records);
  return static_cast<index_t>(layout_packed(s, records, bytes).tail_keys_at);
}

namespace detail {

/// The bound when each head keeps `tokens` (on average, if heads are not even).
inline index_t bytes_of_tokens(const byte_problem& p, index_t tokens) {
  const index_t heads = p.shape.kv_heads, per_record = p.shape.record_tokens;
  const index_t total = heads * tokens, groups = total * p.shape.record.groups();
  // Each head, or all together, may round their count up by half a slice.
  const auto slices =
      static_cast<index_t>(p.rho * static_cast<double>(groups) + 0.5 * static_cast<double>(heads));
  const index_t records = p.even_heads ? heads * ((tokens + per_record - 1) / per_record)
                                       : std::min(total, total / per_record + heads);
  return sealed_bytes_bound(p.shape, total, std::min(slices, groups), records);
}

}  // namespace detail

/// The largest number of tokens per kv head whose packed store is sure to weigh at most p.limit,
/// up to p.tokens. With keep_ratio at both levels, the token level's ratio is this over p.tokens.
/// Errors: bad_shape, bad_group_width, bad_count, bad_ratio ("rho"); budget_too_small ("limit")
/// when the protected tokens, whole, do not fit, or when rho of the groups of what fits is less
/// than the groups of the protected tokens. `tokens_per_head` is then untouched.
inline status solve_tokens_for_bytes(const byte_problem& p, index_t& tokens_per_head) {
  if (status s = check_shape(p.shape); !s) return s;
  if (p.tokens < 0 || p.tokens > INT32_MAX) return {errc::bad_count, "tokens"};
  if (p.protect.sinks < 0) return {errc::bad_count, "sinks"};
  if (p.protect.window < 0) return {errc::bad_count, "window"};
  if (!(p.rho >= 0 && p.rho <= 1)) return {errc::bad_ratio, "rho"};

  const index_t sinks = std::min(p.protect.sinks, p.tokens);
  const index_t guarded = sinks + std::min(p.protect.window, p.tokens - sinks);
  if (detail::bytes_of_tokens(p, guarded) > p.limit) return {errc::budget_too_small, "limit"};
  index_t fits = guarded, too_many = p.tokens + 1;
  while (too_many - fits > 1) {
    const index_t middle = fits + (too_many - fits) / 2;
    (detail::bytes_of_tokens(p, middle) <= p.limit ? fits : too_many) = middle;
  }
  const index_t groups = p.shape.record.groups();
  if (std::llround(p.rho * static_cast<double>(fits * groups)) < guarded * groups)
    return {errc::budget_too_small, "limit"};
  tokens_per_head = fits;
  return {};
}

/// The largest of the ratios 0, 1 / 4096, ..., 1 at which a store weighs at most `limit` bytes, by
/// trying real sizes: `measure(ratio, bytes)` selects with that ratio and says what packing the
/// selection takes (sizes grow with the ratio, but for padding). Its errors are those of
/// largest_step_that_fits(). {budget_too_small, "limit"}: no ratio fits. `ratio` is then untouched.
template <class Measure>
status solve_ratio_for_bytes(index_t limit, Measure&& measure, double& ratio) {
  constexpr int steps = 4096;
  int best = 0;
  const auto measure_step = [&](int step, index_t& bytes) {
    return measure(static_cast<double>(step) / steps, bytes);
  };
  if (status s = largest_step_that_fits(steps, limit, measure_step, best); !s) return s;
  ratio = static_cast<double>(best) / steps;
  return {};
}

}  // namespace rota

#pragma once

#include <rota/core/record.hpp>
#include <rota/cpu/attend/prefetch.hpp>
#include <rota/cpu/simd/convert.hpp>
#include <rota/cpu/simd/reduce.hpp>
#include <rota/cpu/simd/unroll.hpp>

// Scores of R query rows against the keys of a piece, R as in sets.hpp; logits lie token by token,
// R together, which is how the values are weighted later.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

/// Rounds up to whole vectors.
constexpr index_t padded(index_t n) {
  return align_up(n, lanes);
}

/// Tokens whose dot products with R rows are formed at once: as many as the registers hold.
template <int R>
inline constexpr int logit_step = simd::accumulators / R;

/// Whether T rows are read one after the other and not side by side. Hardware that looks for
/// streams follows one row better than several, so where queries take few of the loads the rows go
/// one by one; bf16 rows of several queries are short, and side by side they load each query once.
template <int R, class T>
inline constexpr bool row_by_row = R == 1 || sizeof(T) == 4;

/// sum[t * R + r] += key_t * q_r over the columns [c, c + lanes) of which `rest` are there.
template <int R, bool Whole, class E>
[[gnu::always_inline]] inline void add_products(const E* const* rows, const float* q,
                                                index_t q_stride, index_t c, index_t rest,
                                                native* sum) {
  native row[R];
  unroll<R>([&](int r) __attribute__((always_inline)) {
    row[r] = simd::load<lanes>(q + r * q_stride + c);
    simd::pin(row[r]);
  });
  unroll<logit_step<R>>([&](int t) __attribute__((always_inline)) {
    native key = Whole ? simd::load<lanes>(rows[t] + c) : simd::load_part<lanes>(rows[t] + c, rest);
    simd::pin(key);
    unroll<R>([&](int r) __attribute__((always_inline)) {
      sum[t * R + r] = simd::fma<lanes>(key, row[r], sum[t * R + r]);
    });
  });
}

/// The same for all whole vectors of a row, row after row.
template <int R, class E>
[[gnu::always_inline]] inline void add_rows(const E* const* rows, const float* q, index_t q_stride,
                                            index_t d_k, bool prefetch, native* sum) {
  unroll<logit_step<R>>([&](int t) __attribute__((always_inline)) {
    const E* const row = rows[t];
    if (prefetch && sizeof(E) < 4) prefetch_ahead(row, d_k);
    for (index_t c = 0; c + lanes <= d_k; c += lanes) {
      // A vector of floats is a line or half of one: no burst, however short, is better still.
      if (prefetch && sizeof(E) == 4) prefetch_ahead(row + c, lanes);
      native key = simd::load<lanes>(row + c);
      simd::pin(key);
      unroll<R>([&](int r) __attribute__((always_inline)) {
        sum[t * R + r] =
            simd::fma<lanes>(key, simd::load<lanes>(q + r * q_stride + c), sum[t * R + r]);
      });
    }
  });
}

/// One step: `out` receives the R logits of each of logit_step<R> tokens, whose keys are `rows`.
template <int R, class E>
[[gnu::always_inline]] inline void logits_of_step(const E* const* rows, const float* q,
                                                  index_t q_stride, index_t d_k, bool prefetch,
                                                  float* out) {
  constexpr int n = logit_step<R> * R;
  native sum[n];
  unroll<n>([&](int i) __attribute__((always_inline)) { sum[i] = native{}; });
  const index_t c = d_k / lanes * lanes;
  if (prefetch && !row_by_row<R, E>)
    for (int t = 0; t < logit_step<R>; ++t) prefetch_ahead(rows[t], d_k);
  if constexpr (row_by_row<R, E>)
    add_rows<R>(rows, q, q_stride, d_k, prefetch, sum);
  else
    for (index_t at = 0; at < c; at += lanes)
      add_products<R, true>(rows, q, q_stride, at, lanes, sum);
  if (c < d_k) add_products<R, false>(rows, q, q_stride, c, d_k - c, sum);
  unroll<n / lanes>([&](int i) __attribute__((always_inline)) {
    simd::store<lanes>(out + i * lanes, simd::horizontal_sums(sum + i * lanes));
  });
}

/// Brings the logits of tokens whose keys are bytes to the keys' scales.
template <int R>
void scale_logits(const scale_type* scales, index_t n, float* out) {
  using row = simd::floats<R>;
  for (index_t t = 0; t < n; ++t, out += R)
    simd::store_raw(out, simd::load_raw<row>(out) * static_cast<float>(scales[t]));
}

/// out[(j - range.begin) * R + r] = q_r . k_j for the tokens of the range. May write up to
/// logit_step<R> - 1 tokens more. q: R rows, zero behind d_k up to whole vectors.
template <int R, codec C>
void logits(const block<C>& b, token_range range, const float* q, index_t q_stride, index_t d_k,
            bool prefetch, float* const out) {
  constexpr index_t T = logit_step<R>;
  float* to = out;
  for (index_t j = range.begin; j < range.end; j += T, to += T * R) {
    const key_type_of<C>* rows[T];
    for (index_t t = 0; t < T; ++t)
      rows[t] = b.keys + std::min(j + t, range.end - 1) * b.key_stride;
    logits_of_step<R>(rows, q, q_stride, d_k, prefetch, to);
  }
  if constexpr (codec_traits<C>::sizes.key_scale > 0)
    scale_logits<R>(b.key_scales + range.begin, range.end - range.begin, out);
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail

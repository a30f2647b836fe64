#pragma once

#include <rota/core/record.hpp>
#include <rota/cpu/attend/tile.hpp>
#include <rota/cpu/simd/convert.hpp>
#include <rota/cpu/simd/reduce.hpp>
#include <rota/cpu/simd/unroll.hpp>

// Scores of R query rows against the keys of a piece. R is 1, 2 or 4; logits lie token by token,
// R together, which is how the values are weighted later.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

using simd::lanes;
using simd::native;
using simd::unroll;

/// Rounds up to whole vectors.
constexpr index_t padded(index_t n) {
  return align_up(n, lanes);
}

/// Tokens whose dot products with R rows are formed at once: as many as the registers hold.
template <int R>
inline constexpr int logit_step = simd::accumulators / R;

/// Rows ahead of the one in use that are asked for.
inline constexpr index_t prefetch_rows = 24;

/// Asks for the n elements that lie `ahead` elements behind p.
template <element E>
void prefetch_ahead(const E* p, index_t ahead, index_t n) {
  const std::uintptr_t first = reinterpret_cast<std::uintptr_t>(p) + ahead * sizeof(E);
  for (std::uintptr_t i = 0; i < n * sizeof(E); i += 64) simd::prefetch(first + i);
}

/// sum[t * R + r] += key_t * q_r over the columns [c, c + lanes) of which `rest` are there.
template <int R, bool Whole, element E>
[[gnu::always_inline]] inline void add_products(const E* const* rows, const float* q,
                                                index_t q_stride, index_t c, index_t rest,
                                                native* sum) {
  native row[R];
  unroll<R>([&](int r) __attribute__((always_inline)) {
    row[r] = simd::load<lanes>(q + r * q_stride + c);
    simd::pin(row[r]);
  });
  unroll<logit_step<R>>([&](int t) __attribute__((always_inline)) {
    const native key =
        Whole ? simd::load<lanes>(rows[t] + c) : simd::load_part<lanes>(rows[t] + c, rest);
    unroll<R>([&](int r) __attribute__((always_inline)) {
      sum[t * R + r] = simd::fma<lanes>(key, row[r], sum[t * R + r]);
    });
  });
}

/// One step: `out` receives the R logits of each of logit_step<R> tokens, whose keys are `rows`.
template <int R, element E>
[[gnu::always_inline]] inline void logits_of_step(const E* const* rows, const float* q,
                                                  index_t q_stride, index_t d_k, float* out) {
  constexpr int n = logit_step<R> * R;
  native sum[n];
  unroll<n>([&](int i) __attribute__((always_inline)) { sum[i] = native{}; });
  index_t c = 0;
  for (; c + lanes <= d_k; c += lanes) add_products<R, true>(rows, q, q_stride, c, lanes, sum);
  if (c < d_k) add_products<R, false>(rows, q, q_stride, c, d_k - c, sum);
  unroll<n / lanes>([&](int i) __attribute__((always_inline)) {
    simd::store<lanes>(out + i * lanes, simd::horizontal_sums(sum + i * lanes));
  });
}

/// out[(j - range.begin) * R + r] = q_r . k_j for the tokens of the range. May write up to
/// logit_step<R> - 1 tokens more. q: R rows, zero behind d_k up to whole vectors.
template <int R, element E>
void logits(const block<E>& b, token_range range, const float* q, index_t q_stride, index_t d_k,
            bool prefetch, float* out) {
  constexpr index_t T = logit_step<R>;
  for (index_t j = range.begin; j < range.end; j += T, out += T * R) {
    const E* rows[T];
    for (index_t t = 0; t < T; ++t)
      rows[t] = b.keys + std::min(j + t, range.end - 1) * b.key_stride;
    if (prefetch)
      for (index_t t = 0; t < T; ++t) prefetch_ahead(rows[t], prefetch_rows * b.key_stride, d_k);
    logits_of_step<R>(rows, q, q_stride, d_k, out);
  }
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail

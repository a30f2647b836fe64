#pragma once

#include <limits>

#include <rota/cpu/attend/logits.hpp>
#include <rota/cpu/simd/exp.hpp>

// The online softmax of R interleaved rows, in base 2.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

inline constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

/// R values repeated over a native vector.
template <int R>
native repeat(const float* values) {
  float x[lanes];
  for (int i = 0; i < lanes; ++i) x[i] = values[i % R];
  return simd::load<lanes>(x);
}

/// Takes n logits of R rows (n * R a multiple of the lanes, -inf where nothing is seen) into the
/// running maxima and sums, and replaces them by exp2(scale * logit - maximum), the maxima being of
/// what is scaled. `correction` is what earlier sums must be multiplied by. A NaN or +inf logit
/// makes its row NaN. `round`: what becomes of weights before they are summed, so that those which
/// are used add up to 1.
template <int R, class Round>
void update_softmax(float* logits, index_t n, float scale, float* max, float* sum,
                    float* correction, Round round) {
  const native factor = simd::broadcast<lanes>(scale);
  native top = simd::broadcast<lanes>(minus_infinity);
  for (index_t i = 0; i < n * R; i += lanes)
    top = simd::max<lanes>(simd::load<lanes>(logits + i), top);
  float x[lanes];
  simd::store<lanes>(x, simd::max<lanes>(top * factor, repeat<R>(max)));
  float base[R];
  for (int r = 0; r < R; ++r) {
    float m = x[r];
    for (int i = r + R; i < lanes; i += R) m = x[i] > m ? x[i] : m;
    base[r] = m == minus_infinity ? 0.0f : m;  // exp2(-inf - 0) is the 0 we want
    correction[r] = max[r] - base[r];
    max[r] = m;
  }
  simd::store<lanes>(x, simd::exp2<lanes>(repeat<R>(correction)));
  const native shift = repeat<R>(base);
  native total = {};
  for (int r = 0; r < R; ++r) correction[r] = x[r];
  for (index_t i = 0; i < n * R; i += lanes) {
    // Rounded as the maximum was, or the difference of huge logits would be what rounding took.
    native scaled = simd::load<lanes>(logits + i) * factor;
    simd::pin(scaled);
    const native p = round(simd::exp2<lanes>(scaled - shift));
    simd::store<lanes>(logits + i, p);
    total += p;
  }
  simd::store<lanes>(x, total);
  for (int r = 0; r < R; ++r) {
    float s = x[r];
    for (int i = r + R; i < lanes; i += R) s += x[i];
    sum[r] = sum[r] * correction[r] + s;
  }
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail

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

/// The maxima of n floats, n a multiple of the lanes, lane by lane; NaN is passed over.
inline native max_of(const float* x, index_t n) {
  constexpr int U = 4;  // at once: one would wait for itself
  native top[U];
  for (native& t : top) t = simd::broadcast<lanes>(minus_infinity);
  index_t i = 0;
  for (; i + U * lanes <= n; i += U * lanes)
    simd::unroll<U>([&](int u) __attribute__((always_inline)) {
      top[u] = simd::max<lanes>(simd::load<lanes>(x + i + u * lanes), top[u]);
    });
  for (; i < n; i += lanes) top[0] = simd::max<lanes>(simd::load<lanes>(x + i), top[0]);
  return simd::max<lanes>(simd::max<lanes>(top[0], top[1]), simd::max<lanes>(top[2], top[3]));
}

/// Takes n logits of R rows (n * R a multiple of the lanes, -inf where nothing is seen) into the
/// running maxima and sums, and replaces them by exp2(scale * logit - maximum), the maxima being of
/// what is scaled. `correction` is what earlier sums must be multiplied by. A NaN or +inf logit
/// makes its row NaN. `weight`: makes 2^x of x <= 0, as it will be used: so weights add up to 1.
template <int R, class Weight>
void update_softmax(float* logits, index_t n, float scale, float* max, float* sum,
                    float* correction, Weight weight) {
  const native factor = simd::broadcast<lanes>(scale);
  native top = max_of(logits, n * R);
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
    const native p = weight(scaled - shift);
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

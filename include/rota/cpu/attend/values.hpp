#pragma once

#include <rota/cpu/attend/logits.hpp>
#include <rota/cpu/simd/matrix_unit.hpp>

// Weighted sums of value rows and slices.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

/// R rows of sums, each d_v floats padded to whole vectors.
struct sums_view {
  float* data = nullptr;
  index_t stride = 0;
};

/// The weights of a block's tokens from `first` on, R together. The stride is R, except where one
/// row of several is added alone.
template <int R>
struct weights_view {
  const float* p = nullptr;
  index_t first = 0;
  index_t stride = R;
  const float* of(index_t token) const { return p + (token - first) * (R == 1 ? stride : R); }
  float at(index_t token, int r) const { return of(token)[r]; }
};

/// a[r][k] += weight of the token * columns k of its row or slice. `scale_of(k)`: what bytes of
/// columns k are multiplied by.
template <int R, int N, int C, class T, class ScaleOf>
[[gnu::always_inline]] inline void add_columns(const T* row, index_t token, weights_view<R> w,
                                               [[maybe_unused]] ScaleOf scale_of,
                                               simd::floats<N> (&a)[R][C]) {
  simd::floats<N> v[C];
  unroll<C>([&](int k) __attribute__((always_inline)) {
    v[k] = simd::load<N>(row + k * N);
    if constexpr (std::is_same_v<T, int8>) v[k] *= scale_of(k);
    simd::pin(v[k]);
  });
  unroll<R>([&](int r) __attribute__((always_inline)) {
    simd::floats<N> p = simd::broadcast<N>(w.at(token, r));
    if constexpr (C > 1) simd::pin(p);
    unroll<C>([&](int k)
                  __attribute__((always_inline)) { a[r][k] = simd::fma<N>(v[k], p, a[r][k]); });
  });
}

template <int R, int N, int C>
[[gnu::always_inline]] inline void load_sums(const float* sums, index_t stride,
                                             simd::floats<N> (&a)[R][C]) {
  unroll<R, C>([&](int r, int k) __attribute__((always_inline)) {
    a[r][k] = simd::load<N>(sums + r * stride + k * N);
  });
}

template <int R, int N, int C>
[[gnu::always_inline]] inline void store_sums(const simd::floats<N> (&a)[R][C], float* sums,
                                              index_t stride) {
  unroll<R, C>([&](int r, int k) __attribute__((always_inline)) {
    simd::store<N>(sums + r * stride + k * N, a[r][k]);
  });
}

/// Columns [c, c + C * lanes) of whole rows, whose bytes have a scale for each `width` columns.
template <int R, int C, codec E>
void add_whole_columns(const block<E>& b, token_range range, weights_view<R> w, index_t c,
                       index_t width, row_prefetcher<value_type_of<E>>& ahead, sums_view sums) {
  constexpr int lines = std::max<int>(C * lanes * sizeof(value_type_of<E>) / 64, 1);
  native a[R][C];
  load_sums<R, lanes, C>(sums.data + c, sums.stride, a);
  index_t group[C];
  for (int k = 0; k < C; ++k) group[k] = (c + k * lanes) / width;
  const value_type_of<E>* row = b.values + range.begin * b.value_stride + c;
  for (index_t j = range.begin; j < range.end; ++j, row += b.value_stride) {
    ahead.template next<lines>();
    const auto scale_of = [&](int k) __attribute__((always_inline)) {
      return static_cast<float>(b.value_scales[j * b.value_scale_stride + group[k]]);
    };
    add_columns<R, lanes, C>(row, j, w, scale_of, a);
  }
  store_sums<R, lanes, C>(a, sums.data + c, sums.stride);
}

/// The last columns, fewer than a vector.
template <int R, codec E>
void add_whole_rest(const block<E>& b, token_range range, weights_view<R> w, index_t c, index_t n,
                    index_t width, sums_view sums) {
  for (index_t j = range.begin; j < range.end; ++j) {
    native v = simd::load_part<lanes>(b.values + j * b.value_stride + c, n);
    if constexpr (codec_traits<E>::sizes.value_scale > 0)
      v *= static_cast<float>(b.value_scales[j * b.value_scale_stride + c / width]);
    for (int r = 0; r < R; ++r) {
      float* at = sums.data + r * sums.stride + c;
      const native p = simd::broadcast<lanes>(w.at(j, r));
      simd::store<lanes>(at, simd::fma<lanes>(v, p, simd::load<lanes>(at)));
    }
  }
}

template <int R, codec E>
void add_whole(const block<E>& b, token_range range, weights_view<R> w, index_t d_v, index_t width,
               row_prefetcher<value_type_of<E>>& ahead, sums_view sums) {
  constexpr int C = simd::accumulators / R < 8 ? simd::accumulators / R : 8;
  index_t c = 0;
  for (; c + C * lanes <= d_v; c += C * lanes)
    add_whole_columns<R, C>(b, range, w, c, width, ahead, sums);
  for (; c + lanes <= d_v; c += lanes) add_whole_columns<R, 1>(b, range, w, c, width, ahead, sums);
  if (c < d_v) add_whole_rest<R>(b, range, w, c, d_v - c, width, sums);
}

/// Slices [begin, end) of one group's list, C * N columns at `first` of each.
template <int R, int N, int C, codec E>
void add_list_columns(const block<E>& b, token_range list, weights_view<R> w, index_t width,
                      index_t first, row_prefetcher<value_type_of<E>>& ahead, float* sums,
                      index_t stride) {
  // Several slices at once, in sums of their own: one sum a row waits for itself.
  constexpr int most = simd::accumulators / (R * C);
  constexpr int U = std::clamp(most, 1, 4);
  // One more where some of the next record's keys are asked for here.
  constexpr int lines = static_cast<int>(U * C * N * sizeof(value_type_of<E>) + 63) / 64 +
                        (simd::has_matrix_unit && R >= 4 ? 1 : 0);
  simd::floats<N> a[U][R][C];
  load_sums<R, N, C>(sums + first, stride, a[0]);
  unroll<U - 1>([&](int u) __attribute__((always_inline)) {
    unroll<R, C>([&](int r, int k)
                     __attribute__((always_inline)) { a[u + 1][r][k] = simd::floats<N>{}; });
  });
  const value_type_of<E>* slice = b.values + list.begin * width + first;
  const std::uint8_t* token = b.members + list.begin;
  const std::uint8_t* const end = b.members + list.end;
  const auto add = [&](int u) __attribute__((always_inline)) {
    const auto scale_of = [&](int) __attribute__((always_inline)) {
      return static_cast<float>(b.value_scales[token - b.members + u]);
    };
    add_columns<R, N, C>(slice + u * width, token[u], w, scale_of, a[u]);
  };
  for (; end - token >= U; token += U, slice += U * width) {
    ahead.template next<lines>();
    unroll<U>(add);
  }
  for (; token != end; ++token, slice += width) add(0);
  unroll<U - 1>([&](int u) __attribute__((always_inline)) {
    unroll<R, C>([&](int r, int k)
                     __attribute__((always_inline)) { a[0][r][k] += a[u + 1][r][k]; });
  });
  store_sums<R, N, C>(a[0], sums + first, stride);
}

/// The part of group s's list whose tokens lie in the range.
template <codec E>
token_range list_of(const block<E>& b, index_t s, token_range range) {
  token_range list{b.starts[s], b.starts[s + 1]};
  const std::uint8_t* first = b.members + list.begin;
  const std::uint8_t* last = b.members + list.end;
  if (range.begin > 0) list.begin = std::lower_bound(first, last, range.begin) - b.members;
  if (range.end < b.count) list.end = std::lower_bound(first, last, range.end) - b.members;
  return list;
}

/// N lanes, C vectors at once: W elements a slice, C * N divides W.
template <int R, int N, int C, codec E>
void add_group_major(const block<E>& b, token_range range, weights_view<R> w, index_t d_v,
                     index_t width, row_prefetcher<value_type_of<E>>& ahead, sums_view sums) {
  for (index_t s = 0; s < d_v / width; ++s) {
    const token_range list = list_of(b, s, range);
    if (list.empty()) continue;
    for (index_t c = 0; c < width; c += C * N)
      add_list_columns<R, N, C>(b, list, w, width, c, ahead, sums.data + s * width, sums.stride);
  }
}

/// Token by token: the sums stay in memory, a slice at a time is added to its group's.
template <int R, int N, int C, codec E>
void add_token_major(const block<E>& b, token_range range, weights_view<R> w, index_t width,
                     row_prefetcher<value_type_of<E>>& ahead, sums_view sums) {
  using vec = simd::floats<N>;
  for (index_t j = range.begin; j < range.end; ++j) {
    vec p[R];
    unroll<R>([&](int r) __attribute__((always_inline)) { p[r] = simd::broadcast<N>(w.at(j, r)); });
    const value_type_of<E>* slice = b.values + b.starts[j] * width;
    [[maybe_unused]] index_t number = b.starts[j];
    for (unsigned left = b.masks[j]; left != 0; left &= left - 1, slice += width, ++number) {
      float* to = sums.data + __builtin_ctz(left) * width;
      for (index_t c = 0; c < width; c += C * N) {
        ahead.template next<static_cast<int>(C * N * sizeof(value_type_of<E>) + 63) / 64>();
        unroll<C>([&](int k) __attribute__((always_inline)) {
          vec v = simd::load<N>(slice + c + k * N);
          if constexpr (codec_traits<E>::sizes.value_scale > 0)
            v *= static_cast<float>(b.value_scales[number]);
          unroll<R>([&](int r) __attribute__((always_inline)) {
            float* at = to + r * sums.stride + c + k * N;
            simd::store<N>(at, simd::fma<N>(v, p[r], simd::load<N>(at)));
          });
        });
      }
    }
  }
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail

#pragma once

#include <rota/cpu/attend/tile.hpp>
#include <rota/cpu/simd/unroll.hpp>
#include <rota/cpu/simd/vec.hpp>

// What is asked for before it is read.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

using simd::lanes;
using simd::native;
using simd::unroll;

/// How far ahead of their use rows and slices are asked for: far enough that the end of a record's
/// values asks for the keys that come next.
inline constexpr index_t prefetch_bytes = 16384;

/// Asks for the n elements that lie prefetch_bytes behind p.
template <class E>
void prefetch_ahead(const E* p, index_t n) {
  const std::uintptr_t first = reinterpret_cast<std::uintptr_t>(p) + prefetch_bytes;
  for (std::uintptr_t i = 0; i < n * sizeof(E); i += 64) simd::prefetch(first + i);
}

/// Which of some rows are asked for, as parts `first` .. `last` - 1 of `of`, and at least how many
/// rows behind them.
struct prefetch_share {
  index_t first = 0;
  index_t last = 0;
  index_t of = 1;
  index_t rows_behind = 0;

  static prefetch_share all_if(bool on) { return {0, on ? 1 : 0, 1, 0}; }
};

/// Asks for what lies behind some rows, in the order in which it lies and a few lines at a time:
/// hardware that looks for streams then runs ahead of it, and the loads that are needed now do not
/// wait behind a burst. As far behind as all the rows take at least, because kernels may read their
/// first columns before the rest: nearer, the last rows would be asked for when they are read.
/// One row of stride 0 is asked for prefetch_bytes ahead, however long it is.
template <class E>
class row_prefetcher {
 public:
  row_prefetcher() = default;  // asks for nothing
  row_prefetcher(const E* row, index_t stride, index_t rows, index_t columns,
                 const prefetch_share& share) {
    const index_t first = rows * share.first / share.of;
    const index_t n = rows * share.last / share.of - first;
    if (n <= 0) return;
    const auto bytes = [](index_t elements) {
      return static_cast<std::uintptr_t>(elements) * sizeof(E);
    };
    const index_t behind = std::max(rows, share.rows_behind);
    at_ = reinterpret_cast<std::uintptr_t>(row) + bytes(first * stride) +
          std::max(static_cast<std::uintptr_t>(prefetch_bytes), bytes(behind * stride));
    gap_ = bytes(stride - columns);
    row_bytes_ = bytes(gap_ == 0 ? columns * n : columns);
    row_end_ = at_ + row_bytes_;
    rows_left_ = gap_ == 0 ? 0 : n - 1;
  }

  /// The next N lines, as many as are left.
  template <int N>
  [[gnu::always_inline]] void next() {
    if (at_ + 64 * N <= row_end_) {
      unroll<N>([&](int i) __attribute__((always_inline)) {
        simd::prefetch(at_ + static_cast<std::uintptr_t>(i) * 64);
      });
      at_ += 64 * N;
    } else if (at_ < row_end_ || rows_left_ > 0) {
      next_of_rows(N);
    }
  }

  /// The same where N is not known before.
  void next(int n) {
    if (at_ + 64 * static_cast<std::uintptr_t>(n) > row_end_) return next_of_rows(n);
    for (int i = 0; i < n; ++i) simd::prefetch(at_ + static_cast<std::uintptr_t>(i) * 64);
    at_ += 64 * static_cast<std::uintptr_t>(n);
  }

 private:
  void next_of_rows(int n) {
    for (; n > 0; --n) {
      if (at_ >= row_end_) {
        if (rows_left_-- <= 0) return;
        at_ = row_end_ + gap_;
        row_end_ = at_ + row_bytes_;
      }
      simd::prefetch(at_);
      at_ += 64;
    }
  }

  std::uintptr_t at_ = 0, row_end_ = 0, row_bytes_ = 0, gap_ = 0;
  index_t rows_left_ = 0;
};

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail

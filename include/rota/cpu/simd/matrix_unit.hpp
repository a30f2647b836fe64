#pragma once

#include <utility>

#include <rota/cpu/simd/vec.hpp>

#if defined(ROTA_CPU_AMX)
#include <sys/syscall.h>
#include <unistd.h>
#endif

// The matrix unit of x86 (AMX): tiles of 16 rows of 64 bytes in registers 0 to 7, and sums of
// products of bf16 in float. Everything here uses tiles 0 to 3 as sums (16 x 16 floats) and the
// rest as factors: a left one is 16 x 32, a right one 32 x 16 with pairs of rows interleaved.

namespace rota::cpu::inline ROTA_CPU_ISA::simd {

inline constexpr int tile_rows = 16;
inline constexpr int tile_bytes = 1024;
inline constexpr int tile_depth = 32;  ///< numbers of a product's sum

#if defined(ROTA_CPU_AMX)

inline constexpr bool has_matrix_unit = true;

/// Whether the system lets this process use tiles; asked once.
inline bool matrix_unit_ready() {
  constexpr long request_permission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long tile_data = 18;
  static const bool granted = syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
  return granted;
}

/// The tiles of this thread while it lives, where `on`. Tiles belong to nobody across calls, so
/// nothing is kept of what was there.
class matrix_scope {
 public:
  explicit matrix_scope(bool on) : on_(on) {
    if (!on_) return;
    struct alignas(64) {
      std::uint8_t palette = 1;
      std::uint8_t start_row = 0;
      std::uint8_t reserved[14] = {};
      std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } shape;
    __asm__ volatile("" ::"r"(&shape) : "memory");
    _tile_loadconfig(&shape);
  }
  ~matrix_scope() {
    if (on_) _tile_release();
  }
  matrix_scope(const matrix_scope&) = delete;
  matrix_scope& operator=(const matrix_scope&) = delete;

 private:
  bool on_;
};

/// f(constant I) for all I < N: instructions name their tiles.
template <int N, class F>
[[gnu::always_inline]] inline void each_constant(F f) {
  [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    (f(std::integral_constant<int, I>{}), ...);
  }
  (std::make_integer_sequence<int, N>{});
}

inline void clear_sums() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}
/// Compilers do not know that tiles read memory.
inline void before_tile_loads() {
  __asm__ volatile("" ::: "memory");
}
/// The factor that changes from product to product.
inline void load_tile(const void* rows, std::int64_t stride_bytes) {
  _tile_loadd(4, rows, stride_bytes);
}
/// One of the three factors that stay.
template <int P>
void load_kept_tile(const void* rows, std::int64_t stride_bytes = 64) {
  static_assert(P >= 0 && P < 3);
  if constexpr (P == 0) _tile_loadd(5, rows, stride_bytes);
  if constexpr (P == 1) _tile_loadd(6, rows, stride_bytes);
  if constexpr (P == 2) _tile_loadd(7, rows, stride_bytes);
}
/// sums[I] += tile * kept tile P.
template <int I, int P>
void multiply_by_kept() {
  static_assert(I >= 0 && I < 4 && P >= 0 && P < 3);
  if constexpr (I == 0 && P == 0) _tile_dpbf16ps(0, 4, 5);
  if constexpr (I == 0 && P == 1) _tile_dpbf16ps(0, 4, 6);
  if constexpr (I == 0 && P == 2) _tile_dpbf16ps(0, 4, 7);
  if constexpr (I == 1 && P == 0) _tile_dpbf16ps(1, 4, 5);
  if constexpr (I == 1 && P == 1) _tile_dpbf16ps(1, 4, 6);
  if constexpr (I == 1 && P == 2) _tile_dpbf16ps(1, 4, 7);
  if constexpr (I == 2 && P == 0) _tile_dpbf16ps(2, 4, 5);
  if constexpr (I == 2 && P == 1) _tile_dpbf16ps(2, 4, 6);
  if constexpr (I == 2 && P == 2) _tile_dpbf16ps(2, 4, 7);
  if constexpr (I == 3 && P == 0) _tile_dpbf16ps(3, 4, 5);
  if constexpr (I == 3 && P == 1) _tile_dpbf16ps(3, 4, 6);
  if constexpr (I == 3 && P == 2) _tile_dpbf16ps(3, 4, 7);
}
/// sums[I] += kept tile P * tile.
template <int I, int P>
void multiply_kept_by() {
  static_assert(I >= 0 && I < 4 && P >= 0 && P < 3);
  if constexpr (I == 0 && P == 0) _tile_dpbf16ps(0, 5, 4);
  if constexpr (I == 0 && P == 1) _tile_dpbf16ps(0, 6, 4);
  if constexpr (I == 0 && P == 2) _tile_dpbf16ps(0, 7, 4);
  if constexpr (I == 1 && P == 0) _tile_dpbf16ps(1, 5, 4);
  if constexpr (I == 1 && P == 1) _tile_dpbf16ps(1, 6, 4);
  if constexpr (I == 1 && P == 2) _tile_dpbf16ps(1, 7, 4);
  if constexpr (I == 2 && P == 0) _tile_dpbf16ps(2, 5, 4);
  if constexpr (I == 2 && P == 1) _tile_dpbf16ps(2, 6, 4);
  if constexpr (I == 2 && P == 2) _tile_dpbf16ps(2, 7, 4);
  if constexpr (I == 3 && P == 0) _tile_dpbf16ps(3, 5, 4);
  if constexpr (I == 3 && P == 1) _tile_dpbf16ps(3, 6, 4);
  if constexpr (I == 3 && P == 2) _tile_dpbf16ps(3, 7, 4);
}
/// sums[I] as 16 rows of 16, stride_bytes apart.
template <int I>
void load_sums(const float* from, std::int64_t stride_bytes) {
  static_assert(I >= 0 && I < 4);
  if constexpr (I == 0) _tile_loadd(0, from, stride_bytes);
  if constexpr (I == 1) _tile_loadd(1, from, stride_bytes);
  if constexpr (I == 2) _tile_loadd(2, from, stride_bytes);
  if constexpr (I == 3) _tile_loadd(3, from, stride_bytes);
}
template <int I>
void store_sums(float* to, std::int64_t stride_bytes = 64) {
  static_assert(I >= 0 && I < 4);
  if constexpr (I == 0) _tile_stored(0, to, stride_bytes);
  if constexpr (I == 1) _tile_stored(1, to, stride_bytes);
  if constexpr (I == 2) _tile_stored(2, to, stride_bytes);
  if constexpr (I == 3) _tile_stored(3, to, stride_bytes);
}

#else

inline constexpr bool has_matrix_unit = false;
inline bool matrix_unit_ready() {
  return false;
}
struct matrix_scope {
  explicit matrix_scope(bool) {}
};

#endif

}  // namespace rota::cpu::inline ROTA_CPU_ISA::simd

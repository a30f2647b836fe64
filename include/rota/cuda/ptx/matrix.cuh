#pragma once

#include <cstdint>
#include <cstring>

#include <rota/core/element.hpp>
#include <rota/cuda/ptx/memory.cuh>
#include <rota/cuda/ptx/warp.cuh>

// The matrix unit: fragments of 8 x 8 elements of 2 bytes, and products of them.
// Lane l of a warp has, of a matrix that ldmatrix() reads, elements (l / 4, 2 (l % 4)) and the one
// beside it; transposed, elements (2 (l % 4), l / 4) and the one below.

namespace rota::cuda::ptx {

#if !defined(__CUDACC__)
inline void emulate_ldmatrix(std::uint32_t (&out)[4], shared_address row, bool transposed) {
  struct result {
    std::uint32_t words[4];
  };
  const result r = exchange(row, [transposed](auto of) {
    const unsigned lane = lane_index();
    if (lane == 0)
      for (unsigned phase = 0; phase < 4; ++phase) {
        std::uint32_t rows[8];
        for (unsigned i = 0; i < 8; ++i) rows[i] = of(phase * 8 + i);
        running->count_phase(rows);
      }
    result words;
    for (unsigned i = 0; i < 4; ++i) {
      std::uint16_t pair[2];
      for (unsigned k = 0; k < 2; ++k) {
        const unsigned from = transposed ? 2 * (lane % 4) + k : lane / 4;
        const unsigned column = transposed ? lane / 4 : 2 * (lane % 4) + k;
        const std::byte* const memory = running->shared(of(i * 8 + from), 16, 16);
        std::memcpy(&pair[k], memory + 2 * column, 2);
      }
      words.words[i] = pair[0] | static_cast<std::uint32_t>(pair[1]) << 16;
    }
    return words;
  });
  std::memcpy(out, r.words, sizeof out);
}
#endif

/// Four matrices; lanes 8 i .. 8 i + 7 give the addresses of the rows of matrix i, 16 bytes each.
ROTA_DEVICE void ldmatrix(std::uint32_t (&out)[4], shared_address row) {
#if defined(__CUDACC__)
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(row)
               : "memory");
#else
  emulate_ldmatrix(out, row, false);
#endif
}

ROTA_DEVICE void ldmatrix_transposed(std::uint32_t (&out)[4], shared_address row) {
#if defined(__CUDACC__)
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(row)
               : "memory");
#else
  emulate_ldmatrix(out, row, true);
#endif
}

/// c += a b for a 16 x 16 and b 16 x 8 of E, c in float. Lane l holds rows l / 4 and l / 4 + 8 of a
/// and c, columns 2 (l % 4) and the next (c), those and the same + 8 (a); of b rows 2 (l % 4), the
/// next, and the same + 8 of column l / 4.
template <element E>
ROTA_DEVICE void mma(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                     std::uint32_t b1) {
#if defined(__CUDACC__)
  if constexpr (element_traits<E>::code == element_traits<bf16>::code)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
        "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, "
        "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  struct operands {
    std::uint32_t a[4], b[2];
  };
  struct result {
    float c[4];
  };
  operands own{{a[0], a[1], a[2], a[3]}, {b0, b1}};
  result sums{{c[0], c[1], c[2], c[3]}};
  const result r = exchange(own, [sums](auto of) {
    result next = sums;
    const auto element = [](std::uint32_t word, unsigned half) {
      E e;
      e.bits = static_cast<std::uint16_t>(word >> (16 * half));
      return static_cast<float>(e);
    };
    const unsigned lane = lane_index();
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned row = lane / 4 + (i >= 2 ? 8 : 0), column = 2 * (lane % 4) + (i & 1);
      for (unsigned k = 0; k < 16; ++k) {
        const unsigned within = (k % 8) / 2, high = k >= 8 ? 1 : 0;
        const operands left = of((row % 8) * 4 + within), right = of(column * 4 + within);
        next.c[i] +=
            element(left.a[(row >= 8 ? 1 : 0) + 2 * high], k & 1) * element(right.b[high], k & 1);
      }
    }
    return next;
  });
  std::memcpy(c, r.c, sizeof c);
#endif
}

}  // namespace rota::cuda::ptx

#pragma once

#include <cstdint>

#include <rota/core/types.hpp>

// In which order the 16-byte chunks of a record lie. Eight lanes read chunks of eight tokens at
// once, each from a bank of its own if possible; plain rows are a multiple of all banks wide, so
// that the same chunk of eight tokens would lie in the same bank.

namespace rota::cuda {

inline constexpr int chunk_bytes = 16;
/// Chunks that the banks of shared memory serve at once.
inline constexpr int bank_chunks = 8;

/// Spreads chunks over the banks.
struct banked {
  static constexpr std::int32_t code = 1;

  /// Bits of a token's number that change places in a row of `chunks`. Rows that are no multiple of
  /// the banks stay in order.
  ROTA_HD static constexpr int row_bits(int chunks) {
    return chunks % bank_chunks == 0 ? bank_chunks - 1 : 0;
  }
  /// Place of chunk c of a token's row of `chunks`.
  ROTA_HD static constexpr int row_chunk(int token, int c, int chunks) {
    return c ^ (token & row_bits(chunks));
  }
  /// Place of chunk `c` among the `chunks` of all slices of a token-major record. Runs of eight
  /// chunks are permuted inside themselves; the last, incomplete one stays in order.
  ROTA_HD static constexpr int slice_chunk(int c, int chunks) {
    const bool complete = (c | (bank_chunks - 1)) < chunks;
    return complete ? c ^ (c / bank_chunks % bank_chunks) : c;
  }
};

/// As the saved form and the CPU have them.
struct in_order {
  static constexpr std::int32_t code = 0;
  ROTA_HD static constexpr int row_bits(int) { return 0; }
  ROTA_HD static constexpr int row_chunk(int, int c, int) { return c; }
  ROTA_HD static constexpr int slice_chunk(int c, int) { return c; }
};

}  // namespace rota::cuda

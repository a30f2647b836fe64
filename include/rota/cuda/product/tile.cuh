#pragma once

#include <type_traits>

#include <rota/cuda/product/split_rows.cuh>
#include <rota/cuda/ptx/async_copy.cuh>
#include <rota/cuda/ptx/matrix.cuh>
#include <rota/cuda/store/swizzle.cuh>

namespace rota::cuda {

/// What a thread holds of a product of 64 tokens with Rows rows, 16 or 64. Warp w has tokens 16 w
/// .. 16 w + 15; a lane two of them and a quarter of the rows.
template <int Rows = 64>
struct product_fragments {
  static constexpr int columns = Rows / 8;
  float c[columns][4];

  ROTA_DEVICE void clear() {
    ROTA_UNROLL
    for (int j = 0; j < columns; ++j) {
      ROTA_UNROLL
      for (int i = 0; i < 4; ++i) c[j][i] = 0;
    }
  }
  /// The lane's token `half` (0 or 1), of the tile.
  ROTA_DEVICE static int token(int half) {
    return static_cast<int>(ptx::warp_index() * 16 + ptx::lane_index() / 4) + 8 * half;
  }
  /// Row of c[j][2 half + k], of the tile.
  ROTA_DEVICE static int row(int j, int k) {
    return 8 * j + 2 * static_cast<int>(ptx::lane_index() % 4) + k;
  }
};

/// Part of the numbers of rows that are multiplied.
struct depth_range {
  index_t from = 0;  ///< in the right rows, a multiple of 8; left rows begin with it
  index_t count = 0;
};

/// Multiplies 64 tokens' rows of E with Rows split rows, by a block of 128 threads. Both come
/// through shared memory, 64 numbers of each row at a time.
template <element E, int Rows = 64>
struct product_tile {
  using fragments = product_fragments<Rows>;
  static constexpr int threads = 128;
  static constexpr int tokens = 64;
  /// bf16 has no low part.
  static constexpr bool exact = std::is_same_v<E, bf16>;
  static constexpr std::uint32_t row_bytes = split_rows::tile * sizeof(bf16);
  static constexpr std::uint32_t left_bytes = tokens * row_bytes, right_bytes = Rows * row_bytes;
  static constexpr std::uint32_t shared_bytes = 2 * right_bytes + (exact ? 1 : 2) * left_bytes;
  static constexpr int row_chunks = row_bytes / chunk_bytes;

  ptx::shared_address base = 0;

  ROTA_DEVICE ptx::shared_address right_high() const { return base; }
  ROTA_DEVICE ptx::shared_address right_low() const { return base + right_bytes; }
  ROTA_DEVICE ptx::shared_address left_high() const { return base + 2 * right_bytes; }
  ROTA_DEVICE ptx::shared_address left_low() const { return left_high() + left_bytes; }

  /// out = left right'. `left(j)` points to row j of `count` tokens, on a multiple of 16 bytes;
  /// rows from `first_row` on of matrix `matrix`. By all threads; threads of tokens behind `count`
  /// get zeros.
  template <class Left>
  ROTA_DEVICE void multiply(fragments& out, Left&& left, int count, const split_rows& right,
                            index_t matrix, index_t first_row) const {
    multiply(out, left, count, right, matrix, first_row, {0, right.depth});
  }
  /// The same over a part of the numbers.
  template <class Left>
  ROTA_DEVICE void multiply(fragments& out, Left&& left, int count, const split_rows& right,
                            index_t matrix, index_t first_row, const depth_range& part) const {
    out.clear();
    for (index_t k = 0; k < part.count; k += split_rows::tile) {
      ptx::sync_block();  // the chunk before has been read
      load_right(right, matrix, first_row, part, k);
      load_left(left, count, k, part.count);
      ptx::commit_copies();
      ptx::wait_copies<0>();
      ptx::sync_block();
      add_chunk(out);
    }
  }

 private:
  ROTA_DEVICE static ptx::shared_address place(ptx::shared_address plane, int row, int chunk) {
    return plane + static_cast<std::uint32_t>(row) * row_bytes +
           static_cast<std::uint32_t>(chunk ^ (row % bank_chunks)) * chunk_bytes;
  }

  /// Zeros behind the rows and behind the part.
  ROTA_DEVICE void load_right(const split_rows& right, index_t matrix, index_t first_row,
                              const depth_range& part, index_t k) const {
    constexpr int elements = chunk_bytes / static_cast<int>(sizeof(bf16));
    for (int i = static_cast<int>(ptx::thread_index()); i < Rows * row_chunks; i += threads) {
      const int row = i / row_chunks, chunk = i % row_chunks;
      const index_t column = k + chunk * elements;
      const bool exists = first_row + row < right.rows && column < part.count;
      const index_t at =
          exists ? right.offset(matrix, first_row + row, part.from + column) : index_t{0};
      const int bytes = exists ? chunk_bytes : 0;
      ptx::copy16_async(place(right_high(), row, chunk), right.high + at, bytes);
      ptx::copy16_async(place(right_low(), row, chunk), right.low + at, bytes);
    }
  }

  template <class Left>
  ROTA_DEVICE void load_left(Left&& left, int count, index_t k, index_t depth) const {
    constexpr int elements = 8;
    for (int i = static_cast<int>(ptx::thread_index()); i < tokens * row_chunks; i += threads) {
      const int row = i / row_chunks, chunk = i % row_chunks;
      const index_t first = k + chunk * elements, behind = depth - first;
      const int exist = row >= count || behind <= 0 ? 0
                        : behind < elements         ? static_cast<int>(behind)
                                                    : elements;
      ptx::chunk16 high{}, low{};
      if (exist > 0) split_eight(left(row) + first, exist, high, low);
      ptx::shared_store<ptx::chunk16>(place(left_high(), row, chunk), high);
      if constexpr (!exact) ptx::shared_store<ptx::chunk16>(place(left_low(), row, chunk), low);
    }
  }

  /// Eight numbers, of which the first `exist` do.
  ROTA_DEVICE static void split_eight(const E* from, int exist, ptx::chunk16& high,
                                      [[maybe_unused]] ptx::chunk16& low) {
    struct alignas(16) row {
      E values[8];
    } x{};
    if (exist == 8) {
      constexpr int chunks = sizeof(row) / chunk_bytes;
      struct pieces {
        ptx::chunk16 all[chunks];
      } loaded;
      ROTA_UNROLL
      for (int i = 0; i < chunks; ++i)
        loaded.all[i] = ptx::load(reinterpret_cast<const ptx::chunk16*>(from) + i);
      x = bit_cast<row>(loaded);
    } else {
      ROTA_UNROLL
      for (int i = 0; i < 8; ++i) x.values[i] = i < exist ? ptx::load(from + i) : E(0.0f);
    }
    if constexpr (exact) {
      high = bit_cast<ptx::chunk16>(x);
    } else {
      struct alignas(16) plane {
        bf16 values[8];
      } highs, lows;
      ROTA_UNROLL
      for (int i = 0; i < 8; ++i) {
        const split_pair parts = split(static_cast<float>(x.values[i]));
        highs.values[i] = parts.high;
        lows.values[i] = parts.low;
      }
      high = bit_cast<ptx::chunk16>(highs);
      low = bit_cast<ptx::chunk16>(lows);
    }
  }

  /// Products of the 64 numbers that lie in shared memory.
  ROTA_DEVICE void add_chunk(fragments& out) const {
    const int lane = static_cast<int>(ptx::lane_index()), matrix = lane / 8, row = lane % 8;
    const int left_row = static_cast<int>(ptx::warp_index()) * 16 + matrix % 2 * 8 + row;
    ROTA_UNROLL
    for (int k = 0; k < row_chunks; k += 2) {
      std::uint32_t high[4], low[4] = {};
      ptx::ldmatrix(high, place(left_high(), left_row, k + matrix / 2));
      if constexpr (!exact) ptx::ldmatrix(low, place(left_low(), left_row, k + matrix / 2));
      ROTA_UNROLL
      for (int j = 0; j < fragments::columns; j += 2) {
        const int right_row = j * 8 + matrix / 2 * 8 + row;
        std::uint32_t right[4], rest[4];
        ptx::ldmatrix(right, place(right_high(), right_row, k + matrix % 2));
        ptx::ldmatrix(rest, place(right_low(), right_row, k + matrix % 2));
        ROTA_UNROLL
        for (int n = 0; n < 2; ++n) {
          float(&c)[4] = out.c[j + n];
          ptx::mma<bf16>(c, high, rest[2 * n], rest[2 * n + 1]);
          if constexpr (!exact) ptx::mma<bf16>(c, low, right[2 * n], right[2 * n + 1]);
          ptx::mma<bf16>(c, high, right[2 * n], right[2 * n + 1]);
        }
      }
    }
  }
};

}  // namespace rota::cuda

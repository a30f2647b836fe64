#pragma once

#include <rota/cuda/attend/batch.cuh>
#include <rota/cuda/block_scan.cuh>
#include <rota/cuda/ptx/async_copy.cuh>

// How the bytes of a batch are shared out: all segments in a row, cut into equal parts, one a
// block. A block works on the end of one segment, some whole ones, and the beginning of the next.

namespace rota::cuda {

/// One block's part of the sum of all weights, and the first segment that it meets.
struct share {
  index_t begin = 0, end = 0;
  index_t segment = 0;  ///< the first that ends behind `begin`
  index_t before = 0;   ///< weight of the segments before it
};

/// Where block `i` of `blocks` begins in `total`.
ROTA_HD constexpr index_t share_begin(index_t total, index_t i, index_t blocks) {
  return total * i / blocks;
}

/// Blocks and segments meet in this order: (0, 0), then each next pair is one further in either.
/// So block + segment numbers the pairs.
ROTA_HD constexpr index_t slots_of(index_t blocks, index_t segments) {
  return blocks + segments;
}

/// Shared words of 8 bytes that find_share() takes: two, and one a warp.
template <int Threads>
inline constexpr int share_words = 2 + Threads / ptx::warp_threads;

/// Computed by all threads of a block. `scratch`: share_words shared words of 8 bytes, which bulk
/// copies may fill afterwards (Bulk). `ends` [segments] gets the weights up to each segment's end,
/// if not null.
template <int Threads, bool Bulk, class Source>
ROTA_DEVICE share find_share(const attend_batch<Source>& batch, index_t first_row, index_t rows,
                             ptx::shared_address scratch, std::int64_t* ends,
                             std::uint32_t* fault) {
  const ptx::shared_array<std::int64_t> found{scratch};
  const int thread = static_cast<int>(ptx::thread_index());
  const index_t segments = batch.segments();
  const index_t own = (segments + Threads - 1) / Threads;
  const index_t first = thread * own;
  const index_t last = first + own < segments ? first + own : segments;
  index_t sum = 0;
  for (index_t s = first; s < last; ++s) sum += batch.open(s, first_row, rows, fault).weight();
  const block_sum<std::int64_t> sums =
      block_exclusive_sum<Threads, std::int64_t>(sum, scratch + 2 * sizeof(std::int64_t));
  index_t before = sums.before;
  const index_t total = sums.total;
  share s;
  s.begin = share_begin(total, ptx::block_x(), ptx::blocks_x());
  s.end = share_begin(total, ptx::block_x() + 1, ptx::blocks_x());
  // The thread in whose segments the share begins says so. Ends ascend, so there is one.
  for (index_t i = first; i < last; ++i) {
    const index_t after = before + batch.open(i, first_row, rows, fault).weight();
    if (ends != nullptr) ptx::store(ends + i, after);
    if (before <= s.begin && s.begin < after) {
      found.set(0, i);
      found.set(1, before);
    }
    before = after;
  }
  ptx::sync_block();
  if (s.begin < s.end) {
    s.segment = found[0];
    s.before = found[1];
  }
  if constexpr (Bulk) ptx::fence_before_bulk();
  ptx::sync_block();
  return s;
}

}  // namespace rota::cuda

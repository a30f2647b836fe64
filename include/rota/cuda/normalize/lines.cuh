#pragma once

#include <rota/cuda/fault.cuh>
#include <rota/cuda/normalize/items.cuh>
#include <rota/cuda/ptx/math.cuh>
#include <rota/cuda/ptx/warp.cuh>
#include <rota/select/normalization.hpp>

// Normalizations that are a straight line, from sums over a layer. Sums are in double, of every
// thread, block and layer in the same order, so the result does not depend on who is first.

namespace rota::cuda {

/// Sums over the finite scores of a chunk or a layer.
struct score_sums {
  double count = 0;
  double sum = 0;
  double magnitude = 0;
  double squares = 0;  ///< of the distances to the mean

  ROTA_DEVICE double mean() const { return sum / count; }
  ROTA_DEVICE void add(const score_sums& other) {
    count += other.count;
    sum += other.sum;
    magnitude += other.magnitude;
    squares += other.squares;
  }
};

/// Sum over the block's threads, in thread 0. By all of Threads threads; `scratch`: a score_sums of
/// shared memory for each warp.
template <int Threads>
ROTA_DEVICE score_sums block_total(score_sums s, ptx::shared_address scratch) {
  constexpr int warps = Threads / ptx::warp_threads;
  const ptx::shared_array<double> words{scratch};
  s = {ptx::warp_sum(s.count), ptx::warp_sum(s.sum), ptx::warp_sum(s.magnitude),
       ptx::warp_sum(s.squares)};
  const int at = 4 * static_cast<int>(ptx::warp_index());
  if (ptx::lane_index() == 0) {
    words.set(at, s.count);
    words.set(at + 1, s.sum);
    words.set(at + 2, s.magnitude);
    words.set(at + 3, s.squares);
  }
  ptx::sync_block();
  if (ptx::thread_index() == 0)
    for (int w = 1; w < warps; ++w)
      s.add({words[4 * w], words[4 * w + 1], words[4 * w + 2], words[4 * w + 3]});
  return s;
}

/// Sums of a chunk: a block each. Without totals the count, the sum and the magnitudes; with them,
/// the squares of the distances to the layer's mean.
template <class Level>
struct sum_scores_kernel {
  static constexpr int threads = select_threads;
  static constexpr int least_blocks = 4;
  static constexpr std::uint32_t shared_bytes =
      threads / ptx::warp_threads * static_cast<std::uint32_t>(sizeof(score_sums));

  struct arguments {
    select_table table;
    const score_sums* totals;  ///< [layers], or null
    score_sums* sums;          ///< [chunks]
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const select_chunk c = a.table.chunk(ptx::block_x());
    const double mean = a.totals != nullptr ? ptx::load(a.totals + c.layer_number).mean() : 0;
    score_sums own;
    for_each_score<Level>(c, [&](const float* score) {
      const float x = ptx::load(score);
      if (!is_finite(x)) return;
      if (a.totals != nullptr) {
        own.squares += (x - mean) * (x - mean);
      } else {
        own.count += 1;
        own.sum += x;
        own.magnitude += x < 0 ? -x : x;
      }
    });
    own = block_total<threads>(own, ptx::shared_base());
    if (ptx::thread_index() == 0) ptx::store(a.sums + c.number, own);
  }
};

/// Adds up the chunks of a layer: a block each.
struct add_chunks_kernel {
  static constexpr int threads = 256;
  static constexpr int least_blocks = 1;
  static constexpr std::uint32_t shared_bytes =
      threads / ptx::warp_threads * static_cast<std::uint32_t>(sizeof(score_sums));

  struct arguments {
    select_table table;
    const score_sums* sums;  ///< [chunks]
    score_sums* totals;      ///< [layers]
    bool begin;              ///< else they are added to what is there
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t layer = ptx::block_x();
    const select_unit unit = a.table.unit(budget_scope::layer, layer);
    score_sums own;
    for (index_t i = unit.first_chunk + ptx::thread_index(); i < unit.last_chunk; i += threads)
      own.add(ptx::load(a.sums + i));
    own = block_total<threads>(own, ptx::shared_base());
    if (ptx::thread_index() != 0) return;
    if (!a.begin) own.add(ptx::load(a.totals + layer));
    ptx::store(a.totals + layer, own);
  }
};

/// x becomes (x - shift) / divisor.
struct score_line {
  double shift = 0;
  double divisor = 1;

  ROTA_DEVICE static score_line of(layer_normalization kind, const score_sums& s) {
    score_line line;
    if (kind == layer_normalization::layer_mean) line.divisor = s.magnitude / s.count;
    if (kind == layer_normalization::layer_sum) line.divisor = s.magnitude;
    if (kind == layer_normalization::standardize)
      line = {s.mean(), ptx::square_root(s.squares / s.count)};
    // All 0, or none finite: nothing to divide by. All equal: what is left is 0.
    if (!(line.divisor > 0)) line.divisor = 1;
    return line;
  }
};

/// Moves the finite scores of a chunk along their layer's line: a block each.
template <class Level>
struct apply_line_kernel {
  static constexpr int threads = select_threads;
  static constexpr int least_blocks = 4;

  struct arguments {
    select_table table;
    layer_normalization kind;
    const score_sums* totals;  ///< [layers]
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const select_chunk c = a.table.chunk(ptx::block_x());
    const score_line line = score_line::of(a.kind, ptx::load(a.totals + c.layer_number));
    for_each_score<Level>(c, [&](float* score) {
      const float x = ptx::load(score);
      if (is_finite(x)) ptx::store(score, static_cast<float>((x - line.shift) / line.divisor));
    });
  }
};

}  // namespace rota::cuda

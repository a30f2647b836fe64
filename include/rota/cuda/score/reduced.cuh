#pragma once

#include <rota/cuda/score/rows.cuh>
#include <rota/policy/concepts.hpp>

// Scorers that need sums over all tokens of a head first. Sums are added up in the order of the
// tokens' blocks, so they are always the same.

namespace rota::cuda {

/// What the kernels of a reduced scorer share.
template <class Scorer, element E>
struct reduced_arguments {
  typename Scorer::params params;
  pack_source<E> from;
  int d_k, d_v;
  index_t kv_heads;
  int width;       ///< floats of a sum
  index_t blocks;  ///< of tokens, of a head
  float* sums;     ///< [kv_heads, blocks, width]; the first of a head becomes its total
  float* out;
  index_t out_head;  ///< stride
  std::uint32_t* fault;
};

/// The sums of each block of tokens: every thread accumulates its own token, then each adds up some
/// of the numbers over the threads.
template <class Scorer, element E>
struct reduce_blocks_kernel {
  static constexpr int threads = score_tokens_a_block;
  static constexpr int least_blocks = 1;
  using arguments = reduced_arguments<Scorer, E>;
  using block = score_block<E, reads_keys<Scorer>(), reads_values<Scorer>()>;

  static std::uint32_t shared_bytes(index_t d_k, index_t d_v, index_t width) {
    return block::shared_bytes(d_k, d_v) + float_rows::bytes(width);
  }

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const ptx::shared_address base = ptx::shared_base();
    const block own(a.from, a.d_k, a.d_v, a.kv_heads, base, a.fault);
    const float_rows sums{base + (reads_keys<Scorer>() ? float_rows::bytes(a.d_k) : 0) +
                              (reads_values<Scorer>() ? float_rows::bytes(a.d_v) : 0),
                          a.width};
    const int thread = static_cast<int>(ptx::thread_index());
    if (own.has_token()) {
      float* const mine = ptx::shared_pointer<float>(sums.row(thread), a.width);
      for (int k = 0; k < a.width; ++k) mine[k] = 0;
      Scorer::accumulate(a.params, own.token, mine);
    }
    ptx::sync_block();
    for (int k = thread; k < a.width; k += threads) {
      float sum = 0;
      for (int j = 0; j < own.tokens; ++j)
        sum += ptx::shared_load<float>(sums.row(j) + static_cast<std::uint32_t>(k) * 4);
      ptx::store(a.sums + (own.head * a.blocks + ptx::block_x()) * a.width + k, sum);
    }
  }
};

/// A head's total, and what the scorer makes of it: a block a head. Each warp adds up the sums of
/// some blocks, then one adds up the warps' sums: always in the same order.
template <class Scorer, element E>
struct finish_sums_kernel {
  static constexpr int threads = 512;
  static constexpr int least_blocks = 1;
  static constexpr int warps = threads / ptx::warp_threads;
  static constexpr std::uint32_t shared_bytes = threads * 4;
  using arguments = reduced_arguments<Scorer, E>;

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t head = ptx::block_x();
    float* const total = a.sums + head * a.blocks * a.width;
    const ptx::shared_array<float> parts{ptx::shared_base()};
    const int warp = static_cast<int>(ptx::warp_index()),
              lane = static_cast<int>(ptx::lane_index());
    for (int first = 0; first < a.width; first += ptx::warp_threads) {
      const int k = first + lane;
      float sum = 0;
      if (k < a.width)
        for (index_t n = warp; n < a.blocks; n += warps) sum += ptx::load(total + n * a.width + k);
      parts.set(warp * ptx::warp_threads + lane, sum);
      ptx::sync_block();
      if (warp == 0 && k < a.width) {
        for (int w = 1; w < warps; ++w) sum += parts[w * ptx::warp_threads + lane];
        ptx::store(total + k, sum);
      }
      ptx::sync_block();  // the parts may be written again, and the totals are there
    }
    if (ptx::thread_index() != 0) return;
    token_ref any;
    any.d_k = a.d_k;
    any.d_v = a.d_v;
    any.kv_head = static_cast<int>(head);
    any.kv_heads = static_cast<int>(a.kv_heads);
    any.tokens = a.from.tokens.get(a.fault);
    Scorer::finish(a.params, any, total);
  }
};

/// The scores, a thread a token.
template <class Scorer, element E>
struct score_reduced_kernel {
  static constexpr int threads = score_tokens_a_block;
  static constexpr int least_blocks = 2;
  using arguments = reduced_arguments<Scorer, E>;
  using block = score_block<E, reads_keys<Scorer>(), reads_values<Scorer>()>;

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const block own(a.from, a.d_k, a.d_v, a.kv_heads, ptx::shared_base(), a.fault);
    if (own.has_token())
      ptx::store(a.out + own.head * a.out_head + own.token.index,
                 Scorer::score(a.params, own.token, a.sums + own.head * a.blocks * a.width));
  }
};

}  // namespace rota::cuda

#pragma once

#include <rota/cuda/pack/sources.cuh>
#include <rota/cuda/store/packed.cuh>

namespace rota::cuda {

/// Survivors whose dropped slices one block adds up.
inline constexpr index_t mean_chunk_tokens = 256;

/// Sums of the dropped slices of a run of survivors, a thread a channel: always in the same order.
template <element From>
struct mean_sums_kernel {
  static constexpr int threads = 128;
  static constexpr int least_blocks = 4;
  static constexpr int in_flight = 8;

  struct arguments {
    pack_source<From> from;
    kept_rows kept;
    index_t d_v, width;
    index_t chunks;        ///< of a head
    double* sums;          ///< [kv_heads, chunks, d_v]
    std::int32_t* counts;  ///< [kv_heads, chunks, d_v]
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t chunk = ptx::block_x(), h = ptx::block_y();
    const index_t first = chunk * mean_chunk_tokens, count = a.kept.count(h);
    const index_t last = count < first + mean_chunk_tokens ? count : first + mean_chunk_tokens;
    for (index_t c = ptx::thread_index(); c < a.d_v; c += threads) {
      const index_t group = c / a.width;
      double sum = 0;
      std::int32_t dropped = 0;
      // What is kept is not read: the load goes to a value that lies in the cache, so that no load
      // waits for a branch. The sum is in the order of the survivors.
      const From* const idle = first < last ? a.from.value(a.kept.index(h, first), h) + c : nullptr;
      for (index_t i = first; i < last; i += in_flight) {
        From values[in_flight];
        bool drops[in_flight];
        ROTA_UNROLL
        for (int k = 0; k < in_flight; ++k) {
          const index_t own = i + k < last ? i + k : last - 1;
          drops[k] = i + k < last && (a.kept.mask(h, own) >> group & 1) == 0;
          const From* const value = a.from.value(a.kept.index(h, own), h) + c;
          values[k] = ptx::load(drops[k] ? value : idle);
        }
        ROTA_UNROLL
        for (int k = 0; k < in_flight; ++k) {
          const auto value = static_cast<double>(static_cast<float>(values[k]));
          sum = drops[k] ? sum + value : sum;
          dropped += drops[k] ? 1 : 0;
        }
      }
      const index_t at = (h * a.chunks + chunk) * a.d_v + c;
      ptx::store(a.sums + at, sum);
      ptx::store(a.counts + at, dropped);
    }
  }
};

/// The means of a head from the sums of its chunks, into the store. A group that nobody drops has
/// mean 0.
struct means_kernel {
  static constexpr int threads = 128;
  static constexpr int least_blocks = 1;

  struct arguments {
    const double* sums;
    const std::int32_t* counts;
    index_t d_v, chunks;
    packed_parts to;
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t h = ptx::block_x();
    auto* const means =
        reinterpret_cast<float*>(a.to.data + ptx::load(&a.to.header()->fill_at)) + h * a.d_v;
    for (index_t c = ptx::thread_index(); c < a.d_v; c += threads) {
      double sum = 0;
      index_t dropped = 0;
      for (index_t k = 0; k < a.chunks; ++k) {
        const index_t at = (h * a.chunks + k) * a.d_v + c;
        sum += ptx::load(a.sums + at);
        dropped += ptx::load(a.counts + at);
      }
      ptx::store(means + c,
                 dropped == 0 ? 0.0f : static_cast<float>(sum / static_cast<double>(dropped)));
    }
  }
};

}  // namespace rota::cuda

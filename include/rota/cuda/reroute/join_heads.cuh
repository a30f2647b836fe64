#pragma once

#include <rota/cuda/fault.cuh>
#include <rota/cuda/launch.cuh>
#include <rota/cuda/ptx/memory.cuh>
#include <rota/cuda/ptx/thread.cuh>
#include <rota/policy/visibility.hpp>

// What scoring by position needs when a store is routed again, on the device: the positions of the
// window queries, and the mean over the heads of what each has made alone.

namespace rota::cuda {

/// The last positions before a store's next one: a thread a query.
struct query_positions_kernel {
  static constexpr int threads = 128;
  static constexpr int least_blocks = 1;

  struct arguments {
    const std::int32_t* next_position;
    index_t queries;
    position_t* out;  ///< [queries]
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t i = index_t{ptx::block_x()} * threads + ptx::thread_index();
    if (i < a.queries)
      ptx::store(a.out + i, static_cast<position_t>(ptx::load(a.next_position) - a.queries + i));
  }
};

/// joined[h, i]: the mean over the heads of what they gave the position of head h's token i; a head
/// that has lost it gave 0. A thread a token.
struct join_heads_kernel {
  static constexpr int threads = 256;
  static constexpr int least_blocks = 1;

  struct arguments {
    const float* scores;          ///< [heads, most]
    const position_t* positions;  ///< [heads, most]
    const std::int32_t* lengths;  ///< [heads]
    index_t heads, most;
    float* joined;  ///< [heads, most]
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t head = ptx::block_y();
    const index_t i = index_t{ptx::block_x()} * threads + ptx::thread_index();
    if (i >= ptx::load(a.lengths + head)) return;
    const position_t position = ptx::load(a.positions + head * a.most + i);
    float sum = 0;
    for (index_t h = 0; h < a.heads; ++h) {
      const auto at = [&](index_t t) { return ptx::load(a.positions + h * a.most + t); };
      const index_t place = tokens_up_to(ptx::load(a.lengths + h), position, at) - 1;
      if (place >= 0 && at(place) == position) sum += ptx::load(a.scores + h * a.most + place);
    }
    ptx::store(a.joined + head * a.most + i, sum / static_cast<float>(a.heads));
  }
};

}  // namespace rota::cuda

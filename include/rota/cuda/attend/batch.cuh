#pragma once

#include <rota/attend/problem.hpp>
#include <rota/cuda/attend/io.cuh>
#include <rota/cuda/attend/segment.cuh>

namespace rota::cuda {

/// Items that go to the device with one launch, as arguments of the kernel.
inline constexpr int launch_items = 32;

/// One sequence of a batch as kernels read it.
template <class Source>
struct attend_entry {
  Source store;
  const void* q;            ///< of the batch's io
  index_t q_token, q_head;  ///< strides, in elements
  void* out;
  index_t out_token, out_head;
  float* lse;  ///< or null
  index_t lse_token;
  index_t queries;
};

/// A launch's share of a batch, and what all of it has in common.
template <class Source>
struct attend_batch {
  attend_entry<Source> items[launch_items];
  int count = 0;
  int kv_heads = 0;
  int group = 0;  ///< query heads of a kv head
  float scale = 0;
  bool causal = true;
  io_element io = io_element::f32;  ///< of queries and outputs
  index_t window = 0;

  ROTA_HD index_t segments() const { return index_t{count} * kv_heads; }

  /// Positions of the queries in rows [first, last) of an item; a row is a query token and head.
  ROTA_DEVICE sight sight_of(const attend_entry<Source>& item, index_t first, index_t last,
                             std::uint32_t* fault) const {
    const index_t next = item.store.next_position(fault), start = next - item.queries;
    sight see;
    see.window = window;
    see.first_position = start + first / group;
    see.last_position = causal ? start + (last - 1) / group : next - 1;
    return see;
  }

  /// The tiles of a segment that `rows` rows from `first` on have to read; none where the item has
  /// no such rows.
  ROTA_DEVICE segment open(index_t number, index_t first, index_t rows,
                           std::uint32_t* fault) const {
    const attend_entry<Source>& item = items[number / kv_heads];
    const index_t all = item.queries * group;
    const index_t last = first + rows < all ? first + rows : all;
    if (last <= first) return {};
    return item.store.open(number % kv_heads, sight_of(item, first, last, fault), fault);
  }
};

}  // namespace rota::cuda

#pragma once

#include <rota/policy/visibility.hpp>
#include <rota/store/block.hpp>

namespace rota {

/// How queries see keys.
struct attend_params {
  float scale = 0;             ///< of q . k, which must fit a float; 0 means 1 / sqrt(d_k)
  bool causal = true;          ///< query i of n sees all but the last n - 1 - i positions
  index_t sliding_window = 0;  ///< if positive, only keys less than this many positions back;
                               ///< any number, INT64_MAX too: none is longer than all positions
};

/// One sequence of a ragged batch: its last n positions ask. Query i stands at position
/// store.next_position() - n + i; a query sees the keys at positions up to its own.
/// An empty context gives out 0 and log-sum-exp -inf. Io: the element of queries and outputs, which
/// need not be the store's; an output is rounded to it once (and what else docs/numerics.md says of
/// bf16).
template <class Store, element Io = float>
struct attend_item {
  view<const Io, 3> q;  ///< [n, q_heads, d_k], after RoPE
  const Store* store = nullptr;
  view<Io, 3> out;     ///< [n, q_heads, d_v]
  view<float, 2> lse;  ///< [n, q_heads], natural log; may be null
};

template <kv_store Store, element Io>
status check_item(const attend_item<Store, Io>& item) {
  if (item.store == nullptr) return {errc::null_view, "store"};
  if (status s = item.store->check(); !s) return s;
  if (status s = check_view(item.q, "q"); !s) return s;
  if (status s = check_output(item.out, "out"); !s) return s;
  const index_t kv_heads = item.store->kv_heads();
  if (item.q.extent[2] != item.store->d_k()) return {errc::bad_shape, "q"};
  if (item.q.extent[1] < 1 || item.q.extent[1] % kv_heads != 0)
    return {errc::heads_not_divisible, "q"};
  if (item.out.extent[0] != item.q.extent[0] || item.out.extent[1] != item.q.extent[1] ||
      item.out.extent[2] != item.store->d_v())
    return {errc::bad_shape, "out"};
  if (overlaps(range_of(item.out), range_of(item.q))) return {errc::overlapping_memory, "out"};
  if (item.lse.data == nullptr) return {};
  if (status s = check_output(item.lse, "lse"); !s) return s;
  if (item.lse.extent[0] != item.q.extent[0] || item.lse.extent[1] != item.q.extent[1])
    return {errc::bad_shape, "lse"};
  if (overlaps(range_of(item.lse), range_of(item.q)) ||
      overlaps(range_of(item.lse), range_of(item.out)))
    return {errc::overlapping_memory, "lse"};
  return {};
}

inline status check_params(const attend_params& p) {
  if (!(p.scale >= 0) || p.scale > 1e30f) return {errc::bad_parameter, "scale"};
  if (p.sliding_window < 0) return {errc::bad_parameter, "sliding_window"};
  return {};
}

}  // namespace rota

#pragma once

#include <span>

#include <rota/attend/problem.hpp>
#include <rota/core/workspace.hpp>
#include <rota/cpu/memory_use.hpp>
#include <rota/cpu/simd/isa.hpp>
#include <rota/store/dense.hpp>
#include <rota/store/packed.hpp>
#include <rota/store/paged.hpp>

// What can be wrong with a batch. Everything is looked at before anything is written.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

using cpu::detail::check_apart;
using cpu::detail::holes;
using cpu::detail::memory_use;
using cpu::detail::range_of;

/// Ranges of a store's memory; up to four for the stores that this library knows, none for others.
inline constexpr int ranges_of_store = 4;
template <class Store>
void store_ranges(const Store&, holes, byte_range*) {}
template <codec E>
void store_ranges(const dense_store<E>& s, holes h, byte_range* to) {
  to[0] = range_of(s.keys, h);
  to[1] = range_of(s.values, h);
  to[2] = range_of(s.key_scales, h);
  to[3] = range_of(s.value_scales, h);
}
template <element E>
void store_ranges(const paged_store<E>& s, holes h, byte_range* to) {
  to[0] = range_of(s.key_pages, h);
  to[1] = range_of(s.value_pages, h);
}
template <codec E, int W>
void store_ranges(const packed_store<E, W>& s, holes, byte_range* to) {
  to[0] = byte_range(s.data, static_cast<std::size_t>(s.bytes()));
}

inline constexpr int uses_of_item = 3 + ranges_of_store;

template <class Store, class Io>
void uses_of(const attend_item<Store, Io>& item, holes h, memory_use* to) {
  to[0] = {range_of(item.out, h), "out"};
  to[1] = {range_of(item.lse, h), "lse"};
  to[2] = {range_of(item.q, h), nullptr};
  byte_range store[ranges_of_store];
  store_ranges(*item.store, h, store);
  for (int i = 0; i < ranges_of_store; ++i) to[3 + i] = {store[i], nullptr};
}

template <class Store, class Io>
status check_one(const attend_item<Store, Io>& item) {
  if (status s = check_item(item); !s) return s;
  const index_t width = item.store->group_width();
  if (width < 1 || item.store->d_v() % width != 0 || item.store->d_v() / width > max_groups)
    return {errc::bad_group_width, "store"};
  if (item.q.extent[0] > INT32_MAX) return {errc::bad_shape, "q"};
  memory_use uses[uses_of_item];
  uses_of(item, holes::counted, uses);
  return check_apart(uses);
}

/// Whether the workspace holds `bytes` aligned bytes and none of any item's memory.
template <class Store, class Io>
status check_workspace(std::span<const attend_item<Store, Io>> batch, workspace ws,
                       std::size_t bytes) {
  if (bytes == 0) return {};
  if (ws.data == nullptr || ws.bytes < bytes ||
      reinterpret_cast<std::uintptr_t>(ws.data) % workspace_alignment != 0)
    return {errc::workspace_too_small, "ws"};
  const byte_range scratch(ws.data, bytes);
  for (const auto& item : batch) {
    memory_use uses[uses_of_item];
    uses_of(item, holes::counted, uses);
    for (const memory_use& u : uses)
      if (overlaps(u.range, scratch)) return {errc::overlapping_memory, "ws"};
  }
  return {};
}

/// Whether an output of one item overlaps memory of another. `uses`: [items * uses_of_item].
template <class Store, class Io>
status check_apart(std::span<const attend_item<Store, Io>> batch, memory_use* uses) {
  memory_use* end = uses;
  for (const auto& item : batch) {
    uses_of(item, holes::passed_over, end);
    end += uses_of_item;
  }
  return check_apart(uses, end);
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail

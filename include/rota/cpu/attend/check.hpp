#pragma once

#include <algorithm>
#include <span>

#include <rota/attend/problem.hpp>
#include <rota/core/workspace.hpp>
#include <rota/cpu/simd/isa.hpp>
#include <rota/store/dense.hpp>
#include <rota/store/packed.hpp>
#include <rota/store/paged.hpp>

// What can be wrong with a batch. Everything is looked at before anything is written.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

/// Addresses that a call reads or writes; `name` is set where it writes.
struct memory_use {
  byte_range range;
  const char* name = nullptr;
};

/// Which addresses of a view with holes count: all of them, or none, since another item's view may
/// lie in the holes rightly (interleaved sequences).
enum class holes { counted, passed_over };

template <class T, int Rank>
byte_range range_of(const view<T, Rank>& v, holes h) {
  const byte_range r = rota::range_of(v);
  if (h == holes::counted) return r;
  index_t elements = 1;
  for (index_t e : v.extent) elements *= e;
  return r.end - r.begin == elements * static_cast<index_t>(sizeof(T)) ? r : byte_range{};
}

/// Ranges of a store's memory; two for the stores that this library knows, none for others.
inline constexpr int ranges_of_store = 2;
template <class Store>
void store_ranges(const Store&, holes, byte_range*) {}
template <element E>
void store_ranges(const dense_store<E>& s, holes h, byte_range* to) {
  to[0] = range_of(s.keys, h);
  to[1] = range_of(s.values, h);
}
template <element E>
void store_ranges(const paged_store<E>& s, holes h, byte_range* to) {
  to[0] = range_of(s.key_pages, h);
  to[1] = range_of(s.value_pages, h);
}
template <element E, int W>
void store_ranges(const packed_store<E, W>& s, holes, byte_range* to) {
  to[0] = byte_range(s.data, static_cast<std::size_t>(s.bytes()));
}

inline constexpr int uses_of_item = 3 + ranges_of_store;

template <class Store>
void uses_of(const attend_item<Store>& item, holes h, memory_use* to) {
  to[0] = {range_of(item.out, h), "out"};
  to[1] = {range_of(item.lse, h), "lse"};
  to[2] = {range_of(item.q, h), nullptr};
  byte_range store[ranges_of_store];
  store_ranges(*item.store, h, store);
  for (int i = 0; i < ranges_of_store; ++i) to[3 + i] = {store[i], nullptr};
}

template <class Store>
status check_one(const attend_item<Store>& item) {
  if (status s = check_item(item); !s) return s;
  const index_t width = item.store->group_width();
  if (width < 1 || item.store->d_v() % width != 0 || item.store->d_v() / width > max_groups)
    return {errc::bad_group_width, "store"};
  if (item.q.extent[0] > INT32_MAX) return {errc::bad_shape, "q"};
  memory_use uses[uses_of_item];
  uses_of(item, holes::counted, uses);
  for (const memory_use& a : uses)
    for (const memory_use& b : uses)
      if (&a != &b && a.name != nullptr && overlaps(a.range, b.range))
        return {errc::overlapping_memory, a.name};
  return {};
}

/// Whether the workspace holds `bytes` aligned bytes and none of any item's memory.
template <class Store>
status check_workspace(std::span<const attend_item<Store>> batch, workspace ws, std::size_t bytes) {
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
template <class Store>
status check_apart(std::span<const attend_item<Store>> batch, memory_use* uses) {
  memory_use* end = uses;
  for (const auto& item : batch) {
    uses_of(item, holes::passed_over, end);
    end += uses_of_item;
  }
  end = std::remove_if(uses, end, [](const memory_use& u) { return u.range.begin == u.range.end; });
  std::sort(uses, end,
            [](const memory_use& a, const memory_use& b) { return a.range.begin < b.range.begin; });
  const std::byte* read_end = nullptr;
  const std::byte* written_end = nullptr;
  const char* written_name = nullptr;
  for (const memory_use* u = uses; u != end; ++u) {
    if (u->range.begin < written_end) return {errc::overlapping_memory, written_name};
    if (u->name != nullptr && u->range.begin < read_end) return {errc::overlapping_memory, u->name};
    if (u->name != nullptr) {
      written_end = u->range.end;
      written_name = u->name;
    } else {
      read_end = std::max(read_end, u->range.end);
    }
  }
  return {};
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail

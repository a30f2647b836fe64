#pragma once

#include <algorithm>
#include <cstddef>

#include <rota/core/view.hpp>

// What the items of a batch read and write, and whether one writes what another uses.

namespace rota::cpu::detail {

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

/// Whether anything that is written overlaps anything else: for the few uses of one item.
template <std::size_t N>
status check_apart(const memory_use (&uses)[N]) {
  for (const memory_use& a : uses)
    for (const memory_use& b : uses)
      if (&a != &b && a.name != nullptr && overlaps(a.range, b.range))
        return {errc::overlapping_memory, a.name};
  return {};
}

/// The same for the many of a batch. Changes their order.
inline status check_apart(memory_use* uses, memory_use* end) {
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

}  // namespace rota::cpu::detail

#pragma once

#include <cstring>

#include <rota/store/packed.hpp>

namespace rota {

/// Copies a packed store, tail included, into `to.data`, other memory of the caller aligned to
/// record_alignment: from.bytes() of it. Everything in a store is an offset from its start, so the
/// copy is the same store, bit for bit, and shares nothing with the original: the way to fork a
/// sequence, to trim memory to what a store needs, to move it. Dense and paged stores are views of
/// the engine's own rows, which the engine copies itself.
/// Errors, `to` untouched: bad_store, bad_alignment ("store"); null_view, bad_alignment,
/// store_too_small, overlapping_memory ("to").
template <codec E, int W>
status copy(const packed_store<E, W>& from, packed_store<E, W>& to) {
  if (status s = from.check(); !s) return s;
  if (to.data == nullptr) return {errc::null_view, "to"};
  if (reinterpret_cast<std::uintptr_t>(to.data) % record_alignment != 0)
    return {errc::bad_alignment, "to"};
  if (to.capacity_bytes < from.bytes()) return {errc::store_too_small, "to"};
  const auto bytes = static_cast<std::size_t>(from.bytes());
  if (overlaps(byte_range(from.data, bytes),
               byte_range(to.data, static_cast<std::size_t>(to.capacity_bytes))))
    return {errc::overlapping_memory, "to"};
  std::memcpy(to.data, from.data, bytes);
  return {};
}

}  // namespace rota

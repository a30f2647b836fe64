#pragma once

#include <cstdint>
#include <type_traits>

#include <rota/core/types.hpp>
#include <rota/cuda/ptx/math.cuh>
#include <rota/cuda/ptx/memory.cuh>

// Queries and outputs, whose element kernels learn at run time: they are few beside what is read of
// a store, and so no kernel has to be made three times.

namespace rota::cuda {

enum class io_element : std::uint8_t { f32, bf16, f16 };

/// For the host.
template <element Io>
constexpr io_element io_element_of() {
  return sizeof(Io) == 4                                          ? io_element::f32
         : element_traits<Io>::code == element_traits<bf16>::code ? io_element::bf16
                                                                  : io_element::f16;
}

/// Calls f(Io{}) with the element's type. All threads of a warp go the same way.
template <class F>
ROTA_DEVICE void with_io(io_element type, F&& f) {
  if (type == io_element::f32)
    f(float{});
  else if (type == io_element::bf16)
    f(bf16{});
  else
    f(f16{});
}

/// Address of element i behind `p`.
ROTA_DEVICE const void* io_at(const void* p, io_element type, index_t i) {
  return static_cast<const std::byte*>(p) + i * (type == io_element::f32 ? 4 : 2);
}

/// The element in the lower or upper half of a word.
template <element Io>
ROTA_DEVICE Io half_of(std::uint32_t word, int half) {
  Io e;
  e.bits = static_cast<std::uint16_t>(word >> (16 * half));
  return e;
}

/// Two neighbours as elements of E, the first in the lower half; `p` starts on 4 bytes. Where Io is
/// E these are their bits.
template <element E, element Io>
ROTA_DEVICE std::uint32_t load_pair(const Io* p) {
  if constexpr (sizeof(Io) == 4) {
    return ptx::pack_pair<E>(ptx::load(p), ptx::load(p + 1));
  } else {
    const std::uint32_t word = ptx::load(reinterpret_cast<const std::uint32_t*>(p));
    if constexpr (std::is_same_v<E, Io>)
      return word;
    else
      return ptx::pack_pair<E>(static_cast<float>(half_of<Io>(word, 0)),
                               static_cast<float>(half_of<Io>(word, 1)));
  }
}

/// Rounds to nearest, ties to even.
template <element Io>
ROTA_DEVICE void store_rounded(Io* to, float x) {
  if constexpr (sizeof(Io) == 4)
    ptx::store(to, x);
  else
    ptx::store(to, half_of<Io>(ptx::pack_pair<Io>(x, 0.0f), 0));
}

}  // namespace rota::cuda

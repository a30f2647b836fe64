#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include <rota/core/config.hpp>
#include <rota/cuda/ptx/config.cuh>
#if !defined(__CUDACC__)
#include <rota/cuda/ptx/machine.cuh>
#endif

// Loads, stores and atomics. Kernels touch global memory through load() and store() only, and
// shared memory by address, so that the emulator sees every access.

namespace rota::cuda::ptx {

/// 16 bytes that move together.
struct alignas(16) chunk16 {
  std::uint32_t words[4];
};

template <class T>
ROTA_DEVICE T load(const T* p) {
#if defined(__CUDACC__)
  return *p;
#else
  running->global(p, sizeof(T), alignof(T), access::read);
  return *p;
#endif
}

/// load() in functions that are compiled for the host too but called on the device only.
template <class T>
ROTA_HD T load_on_device(const T* p) {
#if defined(__CUDACC__)
  return *p;
#else
  return load(p);
#endif
}

template <class T>
ROTA_DEVICE void store(T* p, std::type_identity_t<T> value) {
#if defined(__CUDACC__)
  *p = value;
#else
  running->global(p, sizeof(T), alignof(T), access::write);
  *p = value;
  running->step();
#endif
}

/// Returns the value before. T: int, unsigned or unsigned long long.
template <class T>
ROTA_DEVICE T atomic_add(T* p, std::type_identity_t<T> value) {
#if defined(__CUDACC__)
  return atomicAdd(p, value);
#else
  running->step();
  running->global(p, sizeof(T), alignof(T), access::write);
  const T before = *p;
  *p = static_cast<T>(before + value);
  return before;
#endif
}

/// Writes `value` where `expected` is; returns the value before.
ROTA_DEVICE std::uint32_t atomic_exchange_if(std::uint32_t* p, std::uint32_t expected,
                                             std::uint32_t value) {
#if defined(__CUDACC__)
  return atomicCAS(p, expected, value);
#else
  running->step();
  running->global(p, sizeof *p, alignof(std::uint32_t), access::write);
  const std::uint32_t before = *p;
  if (before == expected) *p = value;
  return before;
#endif
}

/// Address inside the block's shared memory, in bytes.
using shared_address = std::uint32_t;

/// The start of the block's dynamic shared memory, 128-byte aligned.
ROTA_DEVICE shared_address shared_base() {
#if defined(__CUDACC__)
  extern __shared__ __align__(128) unsigned char rota_shared_memory[];
  return static_cast<shared_address>(__cvta_generic_to_shared(rota_shared_memory));
#else
  return 0;
#endif
}

/// T of 2, 4, 8 or 16 bytes, aligned to its size.
template <class T>
ROTA_DEVICE T shared_load(shared_address at) {
  static_assert(sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8 || sizeof(T) == 16);
  T value;
#if defined(__CUDACC__)
  if constexpr (sizeof(T) == 2) {
    std::uint16_t bits;
    asm volatile("ld.shared.b16 %0, [%1];" : "=h"(bits) : "r"(at) : "memory");
    memcpy(&value, &bits, 2);
  } else if constexpr (sizeof(T) == 4) {
    std::uint32_t bits;
    asm volatile("ld.shared.b32 %0, [%1];" : "=r"(bits) : "r"(at) : "memory");
    memcpy(&value, &bits, 4);
  } else if constexpr (sizeof(T) == 8) {
    unsigned long long bits;
    asm volatile("ld.shared.b64 %0, [%1];" : "=l"(bits) : "r"(at) : "memory");
    memcpy(&value, &bits, 8);
  } else {
    chunk16 bits;
    asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(bits.words[0]), "=r"(bits.words[1]), "=r"(bits.words[2]),
                   "=r"(bits.words[3])
                 : "r"(at)
                 : "memory");
    memcpy(&value, &bits, 16);
  }
#else
  std::memcpy(&value, running->shared(at, sizeof(T), sizeof(T)), sizeof(T));
#endif
  return value;
}

template <class T>
ROTA_DEVICE void shared_store(shared_address at, std::type_identity_t<T> value) {
  static_assert(sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8 || sizeof(T) == 16);
#if defined(__CUDACC__)
  if constexpr (sizeof(T) == 2) {
    std::uint16_t bits;
    memcpy(&bits, &value, 2);
    asm volatile("st.shared.b16 [%0], %1;" ::"r"(at), "h"(bits) : "memory");
  } else if constexpr (sizeof(T) == 4) {
    std::uint32_t bits;
    memcpy(&bits, &value, 4);
    asm volatile("st.shared.b32 [%0], %1;" ::"r"(at), "r"(bits) : "memory");
  } else if constexpr (sizeof(T) == 8) {
    unsigned long long bits;
    memcpy(&bits, &value, 8);
    asm volatile("st.shared.b64 [%0], %1;" ::"r"(at), "l"(bits) : "memory");
  } else {
    chunk16 bits;
    memcpy(&bits, &value, 16);
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(at), "r"(bits.words[0]),
                 "r"(bits.words[1]), "r"(bits.words[2]), "r"(bits.words[3])
                 : "memory");
  }
#else
  std::memcpy(running->shared(at, sizeof(T), sizeof(T)), &value, sizeof(T));
  running->step();
#endif
}

/// Adds to a word of shared memory. What was there before is not asked for: nobody waits for it.
ROTA_DEVICE void shared_add(shared_address at, std::uint32_t value) {
#if defined(__CUDACC__)
  asm volatile("red.shared.add.u32 [%0], %1;" ::"r"(at), "r"(value) : "memory");
#else
  running->step();
  std::byte* const word = running->shared(at, 4, 4);
  std::uint32_t sum;
  std::memcpy(&sum, word, 4);
  sum += value;
  std::memcpy(word, &sum, 4);
#endif
}

/// Pointer to n values in shared memory, for functions that take ordinary pointers. The emulator
/// looks at the bounds here and no more.
template <class T>
ROTA_DEVICE T* shared_pointer(shared_address at, [[maybe_unused]] int n) {
#if defined(__CUDACC__)
  return static_cast<T*>(__cvta_shared_to_generic(at));
#else
  return reinterpret_cast<T*>(
      running->shared(at, sizeof(T) * static_cast<unsigned>(n), alignof(T)));
#endif
}

/// An array in shared memory.
template <class T>
struct shared_array {
  static constexpr std::uint32_t stride = sizeof(T);
  shared_address at = 0;

  ROTA_DEVICE T operator[](int i) const {
    return shared_load<T>(at + static_cast<std::uint32_t>(i) * stride);
  }
  ROTA_DEVICE void set(int i, T value) const {
    shared_store<T>(at + static_cast<std::uint32_t>(i) * stride, value);
  }
};

}  // namespace rota::cuda::ptx

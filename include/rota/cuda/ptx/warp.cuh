#pragma once

#include <cstdint>
#include <cstring>

#include <rota/cuda/ptx/thread.cuh>

// Exchanges between the lanes of a warp. All lanes take part.

namespace rota::cuda::ptx {

#if !defined(__CUDACC__)
/// Each lane gives a value and gets what f makes of all of them.
template <class T, class F>
auto exchange(const T& own, F&& f) {
  static_assert(sizeof(T) <= 64);
  std::memcpy(running->slot(lane_index()), &own, sizeof(T));
  running->warp_barrier();
  const auto of = [](unsigned lane) {
    T value;
    std::memcpy(&value, running->slot(lane), sizeof(T));
    return value;
  };
  const auto result = f(of);
  running->warp_barrier();
  return result;
}
#endif

/// The value of lane `lane_index() ^ mask`. T: 4 or 8 bytes.
template <class T>
ROTA_DEVICE T shuffle_xor(T value, int mask) {
#if defined(__CUDACC__)
  return __shfl_xor_sync(all_lanes, value, mask);
#else
  return exchange(value,
                  [mask](auto of) { return of(lane_index() ^ static_cast<unsigned>(mask)); });
#endif
}

/// The value of lane `lane`.
template <class T>
ROTA_DEVICE T shuffle(T value, int lane) {
#if defined(__CUDACC__)
  return __shfl_sync(all_lanes, value, lane);
#else
  return exchange(value, [lane](auto of) { return of(static_cast<unsigned>(lane)); });
#endif
}

/// The pointer of lane `lane`.
template <class T>
ROTA_DEVICE T* shuffle_pointer(T* p, int lane) {
  return reinterpret_cast<T*>(shuffle(reinterpret_cast<std::uintptr_t>(p), lane));
}

/// The value of the lane `by` below; the lane's own in the first `by` lanes.
template <class T>
ROTA_DEVICE T shuffle_up(T value, int by) {
#if defined(__CUDACC__)
  return __shfl_up_sync(all_lanes, value, by);
#else
  return exchange(value, [by](auto of) {
    const unsigned lane = lane_index();
    return of(lane >= static_cast<unsigned>(by) ? lane - static_cast<unsigned>(by) : lane);
  });
#endif
}

/// Bit l: whether the predicate holds in lane l.
ROTA_DEVICE unsigned ballot(bool predicate) {
#if defined(__CUDACC__)
  return __ballot_sync(all_lanes, predicate);
#else
  return exchange(predicate, [](auto of) {
    unsigned bits = 0;
    for (unsigned l = 0; l < warp_threads; ++l) bits |= of(l) ? 1u << l : 0u;
    return bits;
  });
#endif
}

ROTA_DEVICE bool any(bool predicate) {
  return ballot(predicate) != 0;
}

/// Sum over the warp, in every lane the same bits.
template <class T>
ROTA_DEVICE T warp_sum(T value) {
  for (int step = 16; step > 0; step /= 2) value += shuffle_xor(value, step);
  return value;
}

template <class T>
ROTA_DEVICE T warp_max(T value) {
  for (int step = 16; step > 0; step /= 2) {
    const T other = shuffle_xor(value, step);
    value = other > value ? other : value;
  }
  return value;
}

/// Sum of the values of lanes 0 .. lane_index() - 1.
template <class T>
ROTA_DEVICE T warp_exclusive_sum(T value) {
  T sum = value;
  for (int step = 1; step < warp_threads; step *= 2) {
    const T below = shuffle_up(sum, step);
    if (lane_index() >= static_cast<unsigned>(step)) sum += below;
  }
  return sum - value;
}

ROTA_DEVICE int count_bits(unsigned bits) {
#if defined(__CUDACC__)
  return __popc(bits);
#else
  return __builtin_popcount(bits);
#endif
}

}  // namespace rota::cuda::ptx

#pragma once

#include <rota/core/types.hpp>
#include <rota/cuda/fault.cuh>

namespace rota::cuda {

/// A number of tokens that a kernel uses: known to the host, or in device memory, where a captured
/// graph finds another value at every replay.
struct length_ref {
  index_t capacity = 0;                  ///< the number itself where `device` is null
  const std::int32_t* device = nullptr;  ///< holds 0 .. capacity

  /// The number. Out of range: reports it, and is 0.
  ROTA_DEVICE index_t get(std::uint32_t* fault) const {
    if (device == nullptr) return capacity;
    const index_t n = ptx::load(device);
    if (n >= 0 && n <= capacity) return n;
    report(fault, errc::bad_count, culprit::length);
    return 0;
  }
};

}  // namespace rota::cuda

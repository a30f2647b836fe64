#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>

#include <rota/cpu/simd/vec.hpp>
#include <rota/cpu/thread_pool.hpp>

#include "memory.hpp"

namespace rota_bench {

inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// How fast this machine reads memory: the floor of decode. Threads sum disjoint parts of a buffer
/// far larger than the caches, nothing else.
class read_probe {
 public:
  static constexpr std::size_t buffer_bytes = std::size_t{2} << 30;
  static constexpr std::size_t step = std::size_t{1} << 18;

  read_probe() : memory_(buffer_bytes) { std::memset(memory_.data(), 1, buffer_bytes); }

  /// Reads the next `bytes` of the buffer (it turns round and round); seconds.
  double read(const rota::cpu::backend& b, std::size_t bytes) {
    const auto steps = static_cast<rota::index_t>(bytes / step);
    const double start = now();
    rota::cpu::parallel_for(b, steps, [&](rota::index_t i, int worker) {
      const std::size_t at = (at_ + static_cast<std::size_t>(i) * step) % buffer_bytes;
      sums_[worker % 64] += sum(memory_.data() + at);
    });
    const double seconds = now() - start;
    at_ = (at_ + static_cast<std::size_t>(steps) * step) % buffer_bytes;
    return seconds;
  }

  /// Bytes a second: the best of several readings of 512 MB.
  double bandwidth(const rota::cpu::backend& b, int readings = 7) {
    constexpr std::size_t bytes = std::size_t{512} << 20;
    double best = 1e30;
    for (int i = 0; i < readings; ++i) best = std::min(best, read(b, bytes));
    return static_cast<double>(bytes) / best;
  }

  std::uint32_t checksum() const { return sums_[0]; }

 private:
  /// Sum of one step's words in eight streams of vectors.
  static std::uint32_t sum(const std::byte* p) {
    using vec = rota::cpu::simd::uints<rota::cpu::simd::lanes>;
    vec s[8] = {};
    for (std::size_t i = 0; i < step; i += sizeof s)
      for (int k = 0; k < 8; ++k)
        s[k] += rota::cpu::simd::load_raw<vec>(p + i + static_cast<std::size_t>(k) * sizeof(vec));
    std::uint32_t total = 0;
    for (const vec& v : s)
      for (int lane = 0; lane < rota::cpu::simd::lanes; ++lane) total += v[lane];
    return total;
  }

  big_memory memory_;
  std::size_t at_ = 0;
  std::uint32_t sums_[64] = {};
};

}  // namespace rota_bench

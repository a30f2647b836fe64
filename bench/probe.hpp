#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>

#include <rota/cpu/simd/matrix_unit.hpp>
#include <rota/cpu/simd/unroll.hpp>
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

/// How fast this machine copies memory: threads copy disjoint parts of one half of a buffer to the
/// other. Counted in bytes copied, so each is read and written once.
class copy_probe {
 public:
  static constexpr std::size_t half = std::size_t{512} << 20;
  static constexpr std::size_t step = std::size_t{1} << 18;

  copy_probe() : memory_(2 * half) { std::memset(memory_.data(), 1, 2 * half); }

  /// Copies the next `bytes`; seconds.
  double copy(const rota::cpu::backend& b, std::size_t bytes) {
    const auto steps = static_cast<rota::index_t>(bytes / step);
    const double start = now();
    rota::cpu::parallel_for(b, steps, [&](rota::index_t i, int) {
      const std::size_t at = (at_ + static_cast<std::size_t>(i) * step) % half;
      std::memcpy(memory_.data() + half + at, memory_.data() + at, step);
    });
    const double seconds = now() - start;
    at_ = (at_ + static_cast<std::size_t>(steps) * step) % half;
    return seconds;
  }

 private:
  big_memory memory_;
  std::size_t at_ = 0;
};

/// One of each for all lines: a buffer takes gigabytes.
inline read_probe& shared_read_probe() {
  static read_probe probe;
  return probe;
}
inline copy_probe& shared_copy_probe() {
  static copy_probe probe;
  return probe;
}

/// Multiply-adds a second of the vector units, as the kernels could use them at best: sums that
/// stay in registers, nothing read.
class fma_probe {
 public:
  /// Floating-point operations a second on all threads together; takes about a millisecond.
  double rate(const rota::cpu::backend& b) {
    constexpr long rounds = 300000;
    const double start = now();
    rota::cpu::parallel_for(b, b.exec.threads, [&](rota::index_t i, int) {
      sums_[static_cast<std::size_t>(i % 64)] = run(rounds);
    });
    const double operations = 2.0 * rounds * sums * rota::cpu::simd::lanes * b.exec.threads;
    return operations / (now() - start);
  }
  float checksum() const { return sums_[0]; }

 private:
  /// Enough to hide the latency of an addition on each of two units.
  static constexpr int sums = rota::cpu::simd::accumulators >= 16 ? 12 : 10;

  static float run(long rounds) {
    using rota::cpu::simd::native;
    using rota::cpu::simd::unroll;
    constexpr int lanes = rota::cpu::simd::lanes;
    native s[sums];
    unroll<sums>([&](int k) __attribute__((always_inline)) { s[k] = native{}; });
    native factor = rota::cpu::simd::broadcast<lanes>(0.999f);
    for (long i = 0; i < rounds; ++i)
      unroll<sums>([&](int k) __attribute__((always_inline)) {
        s[k] = rota::cpu::simd::fma<lanes>(s[k], factor, factor);
        rota::cpu::simd::pin(s[k]);
      });
    float total = 0;
    unroll<sums>([&](int k) __attribute__((always_inline)) { total += s[k][0]; });
    return total;
  }

  float sums_[64] = {};
};

#if defined(__AVX512BF16__)
/// The same for dot products of bf16 pairs, the nearest thing to a matrix unit that this target
/// has. The kernels of this library do not use it: it rounds otherwise than float does.
class bf16_dot_probe {
 public:
  double rate(const rota::cpu::backend& b) {
    constexpr long rounds = 300000;
    const double start = now();
    rota::cpu::parallel_for(b, b.exec.threads, [&](rota::index_t i, int) {
      sums_[static_cast<std::size_t>(i % 64)] = run(rounds);
    });
    return 2.0 * rounds * sums * 32 * b.exec.threads / (now() - start);
  }

 private:
  static constexpr int sums = 12;

  static float run(long rounds) {
    __m512 s[sums];
    rota::cpu::simd::unroll<sums>([&](int k) __attribute__((always_inline)) { s[k] = __m512{}; });
    const __m512bh x = (__m512bh)_mm512_set1_epi16(0x3f80);
    for (long i = 0; i < rounds; ++i)
      rota::cpu::simd::unroll<sums>([&](int k) __attribute__((always_inline)) {
        s[k] = _mm512_dpbf16_ps(s[k], x, x);
        rota::cpu::simd::pin(s[k]);
      });
    float total = 0;
    rota::cpu::simd::unroll<sums>([&](int k) __attribute__((always_inline)) { total += s[k][0]; });
    return total;
  }

  float sums_[64] = {};
};
#endif

#if defined(ROTA_CPU_AMX)
/// The same for the matrix unit: tiles that stay in registers, nothing read.
class matrix_probe {
 public:
  /// 0 where the system does not lend the unit.
  double rate(const rota::cpu::backend& b) {
    if (!rota::cpu::simd::matrix_unit_ready()) return 0;
    constexpr long rounds = 40000;
    const double start = now();
    rota::cpu::parallel_for(b, b.exec.threads, [&](rota::index_t, int) { run(rounds); });
    constexpr double operations = 2.0 * 16 * 16 * 32 * 4;
    return operations * rounds * b.exec.threads / (now() - start);
  }

 private:
  static void run(long rounds) {
    namespace simd = rota::cpu::simd;
    alignas(64) static const float zeros[256] = {};
    const simd::matrix_scope scope(true);
    simd::clear_sums();
    simd::load_tile(zeros, 64);
    simd::load_kept_tile<0>(zeros);
    for (long i = 0; i < rounds; ++i)
      simd::each_constant<4>(
          [](auto sum) __attribute__((always_inline)) { simd::multiply_by_kept<sum, 0>(); });
  }
};
#endif

}  // namespace rota_bench

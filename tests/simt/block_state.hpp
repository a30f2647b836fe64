#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include <rota/cuda/ptx/machine.cuh>

#include "simt/copies.hpp"
#include "simt/schedule.hpp"

namespace simt {

using rota::cuda::ptx::thread_place;

/// What a kernel did wrong.
struct kernel_fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Phases of ldmatrix, and the wavefronts that they took; free of conflicts they are equal.
struct bank_counts {
  std::uint64_t phases = 0, wavefronts = 0;
};

/// Opens, and counts one more generation, when so many have arrived.
struct gate {
  unsigned generation = 0;
  std::size_t arrived = 0;

  /// Whether the caller was the last: the gate is open.
  bool opens(std::size_t all) {
    if (++arrived < all) return false;
    arrived = 0;
    ++generation;
    return true;
  }
};

struct warp_state {
  gate barrier;
  alignas(16) std::byte slots[32][64];
};

/// What the threads of a block share.
struct block_state {
  thread_place place;
  std::vector<std::byte> shared;  ///< NaN at first
  schedule order;
  bank_counts* banks = nullptr;
  gate barrier;
  bool asked = false, answer = false;  ///< of a barrier that asks; the answer of the last one
  std::vector<warp_state> warps;
  copy_queue copies;
  unsigned live = 0;
  std::string fault;

  barrier_word read_barrier(std::uint32_t at) const {
    barrier_word w;
    std::memcpy(&w, shared.data() + at, sizeof w);
    return w;
  }
  void write_barrier(std::uint32_t at, const barrier_word& w) {
    std::memcpy(shared.data() + at, &w, sizeof w);
  }

  void deliver(const pending_copy& c) {
    std::memcpy(shared.data() + c.to, c.from, c.bytes);
    std::memset(shared.data() + c.to + c.bytes, 0, c.size - c.bytes);
    if (c.barrier == no_barrier) return;
    barrier_word w = read_barrier(c.barrier);
    if (!w.take_bytes(c.size)) throw kernel_fault("a bulk copy that its barrier does not expect");
    write_barrier(c.barrier, w);
  }
  void deliver_one() {
    copies.deliver_one(order, [this](const pending_copy& c) { deliver(c); });
  }
};

}  // namespace simt

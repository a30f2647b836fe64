#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "simt/schedule.hpp"

namespace simt {

inline constexpr std::uint32_t no_barrier = 0xffffffffu;

/// A copy under way.
struct pending_copy {
  std::uint32_t to = 0;
  const void* from = nullptr;
  std::size_t bytes = 0, size = 0;  ///< copied, then zeros up to size
  unsigned thread = 0;
  std::uint64_t group = 0;             ///< of the thread; copies that complete with a group
  std::uint32_t barrier = no_barrier;  ///< copies that complete on a barrier
};

/// The copies of a block that have not arrived yet. `arrive` carries one out.
class copy_queue {
 public:
  void add(const pending_copy& c) { copies_.push_back(c); }
  bool empty() const { return copies_.empty(); }

  template <class Arrive>
  void deliver_one(schedule& s, Arrive&& arrive) {
    if (!copies_.empty()) take(s.below(copies_.size()), arrive);
  }

  /// Delivers those of a thread's groups before `group`, in any order.
  template <class Arrive>
  void deliver_groups(unsigned thread, std::uint64_t group, Arrive&& arrive) {
    for (std::size_t i = copies_.size(); i-- > 0;) {
      const pending_copy& c = copies_[i];
      if (c.barrier == no_barrier && c.thread == thread && c.group < group) take(i, arrive);
    }
  }

 private:
  template <class Arrive>
  void take(std::size_t i, Arrive&& arrive) {
    const pending_copy c = copies_[i];
    copies_.erase(copies_.begin() + static_cast<std::ptrdiff_t>(i));
    arrive(c);
  }

  std::vector<pending_copy> copies_;
};

/// An mbarrier as it lies in 8 bytes of shared memory.
struct barrier_word {
  std::uint32_t bytes = 0;     ///< announced, not copied yet
  std::uint16_t missing = 0;   ///< arrivals that the phase still waits for
  std::uint16_t arrivals = 0;  ///< of a phase; the highest bit is the phase

  static constexpr unsigned most_arrivals = 1024;

  static barrier_word of(unsigned arrivals) {
    return {0, static_cast<std::uint16_t>(arrivals), static_cast<std::uint16_t>(arrivals)};
  }
  unsigned phase() const { return arrivals >> 15; }

  /// False: more than it was made for, or it was never made.
  bool arrive(unsigned expected_bytes) {
    if (missing == 0 || (arrivals & 0x7fffu) > most_arrivals) return false;
    bytes += expected_bytes;
    --missing;
    turn_if_complete();
    return true;
  }
  bool take_bytes(std::size_t copied) {
    if (bytes < copied) return false;
    bytes -= static_cast<std::uint32_t>(copied);
    turn_if_complete();
    return true;
  }

 private:
  void turn_if_complete() {
    if (missing != 0 || bytes != 0) return;
    arrivals ^= 0x8000u;
    missing = arrivals & 0x7fffu;
  }
};
static_assert(sizeof(barrier_word) == 8);

}  // namespace simt

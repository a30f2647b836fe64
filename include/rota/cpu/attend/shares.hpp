#pragma once

#include <atomic>

#include <rota/core/types.hpp>
#include <rota/cpu/simd/isa.hpp>

// Which unit a worker does next.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

/// What is left of a worker's share, on a cache line of its own.
struct alignas(64) unit_share {
  index_t next = 0;
  index_t end = 0;
};

/// The units of a call, a run of neighbours for each worker: then what a unit has asked for behind
/// its end is what the same worker reads next. Who has none left takes from the others.
class unit_shares {
 public:
  /// shares: [workers].
  unit_shares(unit_share* shares, index_t units, int workers) : shares_(shares), workers_(workers) {
    for (int w = 0; w < workers; ++w) shares[w] = {units * w / workers, units * (w + 1) / workers};
  }

  /// Each unit once in as many calls as there are units, by whichever workers.
  index_t take(int worker) const {
    for (int i = 0;; ++i) {
      unit_share& share = shares_[(worker + i) % workers_];
      const index_t unit = std::atomic_ref(share.next).fetch_add(1, std::memory_order_relaxed);
      if (unit < share.end) return unit;
    }
  }

 private:
  unit_share* shares_;
  int workers_;
};

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail

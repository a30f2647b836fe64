#pragma once

#include <vector>

#include "simt/thread.hpp"

namespace simt {

/// A block of threads. One runs at a time, until it has to wait; the schedule says who is next.
class block {
 public:
  block(const thread_place& place, std::size_t shared_bytes, const schedule& order,
        bank_counts& banks)
      : threads_(place.threads) {
    state_.place = place;
    state_.shared.assign(shared_bytes, std::byte{0xff});
    state_.order = order;
    state_.banks = &banks;
    state_.warps.resize(place.threads / 32);
    state_.live = place.threads;
  }

  /// Runs body(arguments) on every thread. Throws kernel_fault.
  void run(void (*body)(const void*), const void* arguments, stack_pool& stacks) {
    for (unsigned t = 0; t < threads_.size(); ++t)
      threads_[t].start(state_, t, body, arguments, stacks);
    while (state_.live > 0) {
      if (!state_.order.late && state_.order.chance(4)) state_.deliver_one();
      if (thread* const next = pick())
        next->resume();
      else if (!state_.copies.empty())
        state_.deliver_one();
      else
        throw kernel_fault("deadlock: every thread waits");
      if (!state_.fault.empty()) throw kernel_fault(state_.fault);
    }
    if (!state_.copies.empty()) throw kernel_fault("the block ended while copies were under way");
  }

 private:
  thread* pick() {
    const auto n = threads_.size();
    const bool random = state_.order.threads == schedule::order::random;
    const bool last_first = state_.order.threads == schedule::order::last_warp_ahead;
    const std::size_t start = random ? state_.order.below(n) : 0;
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t at = last_first ? n - 1 - i : (start + i) % n;
      if (threads_[at].can_run()) return &threads_[at];
    }
    return nullptr;
  }

  block_state state_;
  std::vector<thread> threads_;
};

}  // namespace simt

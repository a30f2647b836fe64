#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include <boost/context/fiber.hpp>
#include <boost/context/pooled_fixedsize_stack.hpp>

#include "simt/block_state.hpp"
#include "simt/global_memory.hpp"

namespace simt {

using rota::cuda::ptx::access;
using stack_pool = boost::context::pooled_fixedsize_stack;

/// One thread of a block, on a stack of its own, as a kernel's instructions see it.
class thread final : public rota::cuda::ptx::machine {
 public:
  void start(block_state& block, unsigned index, void (*body)(const void*), const void* arguments,
             stack_pool& stacks) {
    block_ = &block;
    place_ = block.place;
    place_.thread = index;
    fiber_ = boost::context::fiber(std::allocator_arg, stacks,
                                   [this, body, arguments](boost::context::fiber&& back) {
                                     back_ = std::move(back);
                                     try {
                                       body(arguments);
                                     } catch (const kernel_fault& f) {
                                       block_->fault = f.what();
                                     }
                                     done_ = true;
                                     --block_->live;
                                     return std::move(back_);
                                   });
  }

  /// Runs it until it has to wait, or until the schedule lets another go first.
  void resume() {
    rota::cuda::ptx::running = this;
    fiber_ = std::move(fiber_).resume();
    rota::cuda::ptx::running = nullptr;
  }

  bool can_run() const {
    if (done_) return false;
    if (gate_ != nullptr) return gate_->generation != generation_;
    return phase_at_ == no_barrier || block_->read_barrier(phase_at_).phase() != phase_;
  }

  const thread_place& place() const override { return place_; }

  void block_barrier() override { pass(block_->barrier, place_.threads); }
  bool block_barrier_or(bool predicate) override {
    block_->asked = block_->asked || predicate;
    if (block_->barrier.arrived + 1 == place_.threads) {
      block_->answer = block_->asked;
      block_->asked = false;
    }
    pass(block_->barrier, place_.threads);
    return block_->answer;
  }
  void warp_barrier() override { pass(warp().barrier, 32); }
  std::byte* slot(unsigned lane) override { return warp().slots[lane]; }

  std::byte* shared(std::uint32_t at, std::size_t bytes, std::size_t alignment) override {
    if (at % alignment != 0) fail("misaligned access to shared memory", at);
    if (at > block_->shared.size() || bytes > block_->shared.size() - at)
      fail("access outside of shared memory", at);
    return block_->shared.data() + at;
  }

  void global(const void* p, std::size_t bytes, std::size_t alignment, access a) override {
    const auto at = reinterpret_cast<std::uintptr_t>(p);
    if (at % alignment != 0) fail("misaligned access to global memory", at);
    if (!global_memory::instance().contains(p, bytes))
      fail(a == access::read ? "read outside of global memory" : "write outside of global memory",
           at);
  }

  void count_phase(const std::uint32_t* rows) override {
    unsigned in_bank[8] = {};
    unsigned most = 0;
    for (unsigned i = 0; i < 8; ++i) {
      const bool again = std::find(rows, rows + i, rows[i]) != rows + i;  // read once
      if (!again) most = std::max(most, ++in_bank[rows[i] / 16 % 8]);
    }
    ++block_->banks->phases;
    block_->banks->wavefronts += most;
  }

  void copy_to_group(std::uint32_t to, const void* from, std::size_t bytes,
                     std::size_t size) override {
    if (bytes > 0) global(from, bytes, 16, access::read);
    add_copy({to, from, bytes, size, place_.thread, group_, no_barrier});
  }
  void commit_group() override { ++group_; }
  void wait_groups(int open) override {
    const auto still = static_cast<std::uint64_t>(open);
    if (group_ > still)
      block_->copies.deliver_groups(place_.thread, group_ - still,
                                    [this](const pending_copy& c) { block_->deliver(c); });
  }
  void copy_to_barrier(std::uint32_t to, const void* from, std::size_t bytes,
                       std::uint32_t barrier) override {
    if (bytes % 16 != 0) fail("a bulk copy of an odd size", bytes);
    global(from, bytes, 16, access::read);
    shared(barrier, 8, 8);
    add_copy({to, from, bytes, bytes, place_.thread, 0, barrier});
  }

  void barrier_init(std::uint32_t at, unsigned arrivals) override {
    shared(at, 8, 8);
    block_->write_barrier(at, barrier_word::of(arrivals));
  }
  void barrier_arrive(std::uint32_t at, unsigned expected_bytes) override {
    shared(at, 8, 8);
    barrier_word w = block_->read_barrier(at);
    if (!w.arrive(expected_bytes)) fail("an arrival that the barrier has no room for", at);
    block_->write_barrier(at, w);
  }
  void barrier_wait(std::uint32_t at, unsigned parity) override {
    shared(at, 8, 8);
    phase_at_ = at;
    phase_ = parity;
    while (!can_run()) yield();
    phase_at_ = no_barrier;
  }

  void step() override {
    if (block_->order.threads == schedule::order::random && block_->order.chance(16)) yield();
  }

 private:
  warp_state& warp() { return block_->warps[place_.thread / 32]; }

  void pass(gate& g, std::size_t all) {
    generation_ = g.generation;
    if (g.opens(all)) return;
    gate_ = &g;
    while (!can_run()) yield();
    gate_ = nullptr;
  }
  void yield() {
    back_ = std::move(back_).resume();
    rota::cuda::ptx::running = this;
  }
  void add_copy(const pending_copy& c) {
    std::memset(shared(c.to, c.size, 16), 0xff, c.size);  // nobody may read it yet
    block_->copies.add(c);
  }
  [[noreturn]] void fail(const char* what, std::uintptr_t at) const {
    throw kernel_fault(std::string(what) + " (" + std::to_string(at) + ") by thread " +
                       std::to_string(place_.thread) + " of block " +
                       std::to_string(place_.block.x));
  }

  block_state* block_ = nullptr;
  thread_place place_;
  boost::context::fiber fiber_, back_;
  bool done_ = false;
  const gate* gate_ = nullptr;  ///< waits until its generation is no longer generation_
  unsigned generation_ = 0;
  std::uint32_t phase_at_ = no_barrier;  ///< waits until this barrier's phase is no longer phase_
  unsigned phase_ = 0;
  std::uint64_t group_ = 0;  ///< number of the open group of copies
};

}  // namespace simt

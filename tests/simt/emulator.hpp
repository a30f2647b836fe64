#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "simt/block.hpp"
#include "simt/global_memory.hpp"

namespace simt {

/// An emulated GPU. While one is alive, launches go to it; blocks run one after the other, in an
/// order of the seed's choice.
class emulator final : public rota::cuda::ptx::device {
 public:
  explicit emulator(std::uint64_t seed = 0, int architecture = 90)
      : seed_(seed), architecture_(architecture), before_(rota::cuda::ptx::attached) {
    rota::cuda::ptx::attached = this;
  }
  ~emulator() override { rota::cuda::ptx::attached = before_; }
  emulator(const emulator&) = delete;
  emulator& operator=(const emulator&) = delete;

  int multiprocessors() const override { return 3; }
  int architecture() const override { return architecture_; }
  /// As devices of that architecture have it (CUDA C++ Programming Guide, technical specifications
  /// per compute capability).
  int shared_bytes() const override {
    switch (architecture_) {
      case 80:
      case 87:
        return 163 * 1024;
      case 86:
      case 89:
      case 120:
        return 99 * 1024;
      default:
        return 227 * 1024;
    }
  }
  bool owns(const void* p) const override { return global_memory::instance().contains(p, 0); }

  bool launch(rota::cuda::ptx::extent3 grid, unsigned threads, std::size_t shared_bytes,
              void (*body)(const void*), const void* arguments) override {
    const auto most_shared = static_cast<std::size_t>(this->shared_bytes());
    if (threads == 0 || threads > 1024 || threads % 32 != 0 || shared_bytes > most_shared)
      return false;
    if (!fault_.empty()) return true;  // as after a fault on a GPU: nothing runs any more
    ++launches_;
    std::vector<thread_place> places;
    for (unsigned z = 0; z < grid.z; ++z)
      for (unsigned y = 0; y < grid.y; ++y)
        for (unsigned x = 0; x < grid.x; ++x) places.push_back({0, threads, {x, y, z}, grid});
    schedule order(seed_);
    for (std::size_t i = places.size(); i > 1; --i)
      std::swap(places[i - 1], places[order.below(i)]);
    try {
      for (const thread_place& place : places) {
        block(place, shared_bytes, order, banks_).run(body, arguments, stacks_);
        order.below(2);  // the next block's threads run in another order
      }
    } catch (const kernel_fault& f) {
      fault_ = f.what();
    }
    return true;
  }

  /// What the first faulty kernel did; empty while all is well.
  const std::string& fault() const { return fault_; }
  const bank_counts& banks() const { return banks_; }
  int launches() const { return launches_; }

 private:
  std::uint64_t seed_;
  int architecture_;
  rota::cuda::ptx::device* before_;
  stack_pool stacks_{64 * 1024};
  std::string fault_;
  bank_counts banks_;
  int launches_ = 0;
};

}  // namespace simt

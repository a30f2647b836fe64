#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <new>

namespace simt {

/// The emulated GPU's memory: host memory that is known by range, so that an access outside every
/// allocation is seen. Allocations start as NaN and never lie side by side.
class global_memory {
 public:
  static global_memory& instance() {
    static global_memory one;
    return one;
  }

  void* allocate(std::size_t bytes) {
    auto* const base = static_cast<std::byte*>(std::aligned_alloc(256, rounded(bytes) + 2 * gap));
    if (base == nullptr) throw std::bad_alloc();
    std::memset(base, 0xff, rounded(bytes) + 2 * gap);
    std::byte* const start = base + gap;
    ranges_[start] = bytes;
    return start;
  }

  void free(void* p) {
    if (p == nullptr) return;
    ranges_.erase(static_cast<const std::byte*>(p));
    std::free(static_cast<std::byte*>(p) - gap);
  }

  bool contains(const void* p, std::size_t bytes) const {
    const auto* const at = static_cast<const std::byte*>(p);
    auto after = ranges_.upper_bound(at);
    if (after == ranges_.begin()) return false;
    const auto& [start, size] = *std::prev(after);
    const auto offset = static_cast<std::size_t>(at - start);
    return offset <= size && bytes <= size - offset;
  }

 private:
  static constexpr std::size_t gap = 256;
  static std::size_t rounded(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

  std::map<const std::byte*, std::size_t> ranges_;
};

}  // namespace simt

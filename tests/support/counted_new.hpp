// Counts what a test program allocates, to show that operators do not. Replaces operator new: to be
// included by one source of a program.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace rota_test {

inline std::atomic<long> allocations{0};  ///< calls of operator new so far

}  // namespace rota_test

// Not inlined: g++ 12 would see malloc paired with delete, or new with free, and warn.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++rota_test::allocations;
  if (void* p = std::malloc(bytes ? bytes : 1)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept {
  std::free(p);
}
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}

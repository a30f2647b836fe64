// Samples side by side on a few threads.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace rota_lm {

/// Calls f(i) for each i in [0, count), `threads` at a time; returns when all are done. Rethrows
/// the first exception, after which no further i is begun.
template <class F>
void in_parallel(int threads, std::size_t count, F&& f) {
  std::atomic<std::size_t> next{0};
  std::exception_ptr problem;
  std::mutex guard;
  const auto work = [&] {
    for (std::size_t i = next++; i < count; i = next++) {
      try {
        f(i);
      } catch (...) {
        const std::lock_guard lock(guard);
        if (!problem) problem = std::current_exception();
        next = count;
      }
    }
  };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back(work);
  work();
  for (std::thread& t : others) t.join();
  if (problem) std::rethrow_exception(problem);
}

}  // namespace rota_lm

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <rota/cpu/thread_pool.hpp>

// The pool: each item once, no worker twice at a time, calls from several threads, whether its
// threads still look around or sleep already.

namespace {

using namespace rota;

/// Runs `count` items; whether each ran once, and no two at once on one worker.
bool runs_each_once(const cpu::backend& b, index_t count) {
  std::vector<std::atomic<int>> runs(static_cast<std::size_t>(count));
  std::vector<std::atomic<int>> active(static_cast<std::size_t>(b.exec.threads));
  std::atomic<bool> apart{true};
  cpu::parallel_for(b, count, [&](index_t i, int worker) {
    if (active[static_cast<std::size_t>(worker)].fetch_add(1) != 0) apart = false;
    runs[static_cast<std::size_t>(i)].fetch_add(1);
    active[static_cast<std::size_t>(worker)].fetch_sub(1);
  });
  for (const auto& n : runs)
    if (n.load() != 1) return false;
  return apart;
}

}  // namespace

TEST_CASE("every item runs once, after any pause") {
  for (const int threads : {1, 2, 3, 8}) {
    cpu::thread_pool pool(threads);
    REQUIRE(pool.get_backend().exec.threads == threads);
    for (int round = 0; round < 200; ++round) {
      REQUIRE(runs_each_once(pool.get_backend(), 1 + round % 37));
      if (round % 20 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
}

TEST_CASE("calls from several threads take turns") {
  cpu::thread_pool pool(3);
  std::atomic<int> good{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&] {
      for (int round = 0; round < 100; ++round)
        good += runs_each_once(pool.get_backend(), 16) ? 1 : 0;
    });
  for (std::thread& t : callers) t.join();
  CHECK(good == 400);
}

TEST_CASE("a pool ends while its threads look around or sleep") {
  for (int round = 0; round < 50; ++round) {
    cpu::thread_pool pool(4);
    REQUIRE(runs_each_once(pool.get_backend(), 8));
    if (round % 10 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

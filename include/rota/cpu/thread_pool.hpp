#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include <rota/cpu/backend.hpp>

namespace rota::cpu {

/// A small pool for engines that have none. The calling thread is worker 0 and works too. One
/// call at a time; calls from several threads take turns. Who waits looks around a while before
/// it sleeps: operators follow each other closely, and waking a thread takes its time.
class thread_pool {
 public:
  explicit thread_pool(int threads) : threads_(threads < 1 ? 1 : threads) {
    for (int w = 1; w < threads_; ++w) workers_.emplace_back([this, w] { serve(w); });
  }
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;

  ~thread_pool() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& t : workers_) t.join();
  }

  int threads() const { return threads_; }

  backend get_backend() {
    return {{[](void* self, index_t count, executor::task t, void* context) {
               static_cast<thread_pool*>(self)->run(count, t, context);
             },
             this, threads_}};
  }

 private:
  void run(index_t count, executor::task t, void* context) {
    std::lock_guard one_call(calls_);
    if (threads_ == 1 || count == 1) {
      for (index_t i = 0; i < count; ++i) t(context, i, 0);
      return;
    }
    {
      std::lock_guard lock(mutex_);
      task_ = t;
      context_ = context;
      count_ = count;
      next_.store(0, std::memory_order_relaxed);
      busy_.store(threads_ - 1, std::memory_order_relaxed);
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    drain(t, context, count, 0);
    wait(done_, [this] { return busy_.load(std::memory_order_acquire) == 0; });
  }

  /// Until `ready`. Who makes it true holds mutex_ then or afterwards, and tells `event`.
  template <class Ready>
  void wait(std::condition_variable& event, Ready ready) {
    constexpr int looks = 100;
    for (int i = 0; i < looks; ++i) {
      if (ready()) return;
      std::this_thread::yield();  // where there are fewer cores than threads, others go on
    }
    std::unique_lock lock(mutex_);
    event.wait(lock, ready);
  }

  void drain(executor::task t, void* context, index_t count, int worker) {
    for (;;) {
      const index_t i = next_.fetch_add(1, std::memory_order_relaxed);
      if (i >= count) return;
      t(context, i, worker);
    }
  }

  void serve(int worker) {
    std::uint64_t seen = 0;
    for (;;) {
      wait(wake_, [&] {
        return stopping_.load(std::memory_order_acquire) ||
               generation_.load(std::memory_order_acquire) != seen;
      });
      if (stopping_.load(std::memory_order_acquire)) return;
      ++seen;  // none is missed: a call ends when all workers have been through it
      drain(task_, context_, count_, worker);
      if (busy_.fetch_sub(1, std::memory_order_acq_rel) > 1) continue;
      { std::lock_guard lock(mutex_); }  // the caller looks and falls asleep under it
      done_.notify_one();
    }
  }

  const int threads_;
  std::vector<std::thread> workers_;
  std::mutex calls_, mutex_;
  std::condition_variable wake_, done_;
  executor::task task_ = nullptr;
  void* context_ = nullptr;
  index_t count_ = 0;
  std::atomic<index_t> next_{0};
  std::atomic<int> busy_{0};
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace rota::cpu

// The memory that caches live in, counted: what a cache is said to hold can be compared with what
// was really allocated.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

namespace rota_lm {

/// Counts the bytes of the cache_buffers that are given it. Must outlive them. Thread-safe.
class memory_account {
 public:
  std::size_t live_bytes() const { return live_.load(); }
  std::size_t peak_bytes() const { return peak_.load(); }

  void add(std::size_t bytes) {
    const std::size_t now = live_.fetch_add(bytes) + bytes;
    std::size_t peak = peak_.load();
    while (peak < now && !peak_.compare_exchange_weak(peak, now)) {
    }
  }
  void remove(std::size_t bytes) { live_.fetch_sub(bytes); }

 private:
  std::atomic<std::size_t> live_{0};
  std::atomic<std::size_t> peak_{0};
};

/// Uninitialised memory aligned to 64 bytes, which is what Rota asks of stores and workspaces.
class cache_buffer {
 public:
  static constexpr std::size_t alignment = 64;

  cache_buffer() = default;
  /// Counts in `account` where there is one. Throws std::bad_alloc.
  explicit cache_buffer(std::size_t bytes, memory_account* account = nullptr)
      : size_((bytes + alignment - 1) / alignment * alignment), account_(account) {
    if (size_ == 0) return;
    data_ = static_cast<std::byte*>(std::aligned_alloc(alignment, size_));
    if (data_ == nullptr) throw std::bad_alloc();
    if (account_ != nullptr) account_->add(size_);
  }
  cache_buffer(cache_buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        account_(std::exchange(other.account_, nullptr)) {}
  cache_buffer& operator=(cache_buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(account_, other.account_);
    return *this;
  }
  ~cache_buffer() {
    if (data_ == nullptr) return;
    if (account_ != nullptr) account_->remove(size_);
    std::free(data_);
  }

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  memory_account* account_ = nullptr;
};

}  // namespace rota_lm

#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

#include <sys/mman.h>

namespace rota_bench {

/// Memory in huge pages where the system grants them: address translation is not what we measure.
class big_memory {
 public:
  big_memory() = default;
  explicit big_memory(std::size_t bytes) : bytes_(bytes) {
    constexpr std::size_t page = std::size_t{2} << 20;
    const std::size_t rounded = (bytes + page - 1) / page * page;
    data_.reset(static_cast<std::byte*>(std::aligned_alloc(page, rounded)));
    if (data_ == nullptr) std::abort();
    madvise(data_.get(), rounded, MADV_HUGEPAGE);
  }
  std::byte* data() const { return data_.get(); }
  std::size_t size() const { return bytes_; }

 private:
  struct deleter {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, deleter> data_;
  std::size_t bytes_ = 0;
};

}  // namespace rota_bench

#pragma once

#include <cstdlib>
#include <memory>

#include <rota/core/workspace.hpp>

namespace rota_test {

/// Aligned memory that frees itself; exactly as large as asked, so that asan sees an overrun.
class aligned_memory {
 public:
  explicit aligned_memory(std::size_t bytes, std::size_t alignment = rota::workspace_alignment)
      : bytes_(bytes) {
    const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    data_.reset(
        static_cast<std::byte*>(std::aligned_alloc(alignment, rounded ? rounded : alignment)));
  }
  std::byte* data() const { return data_.get(); }
  std::size_t size() const { return bytes_; }
  rota::workspace workspace() const { return {data(), bytes_}; }

 private:
  struct deleter {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, deleter> data_;
  std::size_t bytes_;
};

}  // namespace rota_test

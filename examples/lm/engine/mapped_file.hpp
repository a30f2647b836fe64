// A read-only memory map of a regular file.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace rota_lm {

/// Owns the mapping of one file. The bytes stay valid, and at the same address, until destruction;
/// moving the object does not move them. A file that another process shortens while it is mapped
/// is beyond what can be checked here: reading the lost part raises SIGBUS.
class mapped_file {
 public:
  /// Maps the whole of `path`. Throws when it is missing, unreadable or not a regular file.
  explicit mapped_file(const std::string& path);
  mapped_file(mapped_file&& other) noexcept;
  mapped_file& operator=(mapped_file&& other) noexcept;
  ~mapped_file();

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(data_), size_}; }
  std::string_view text() const { return {static_cast<const char*>(data_), size_}; }

 private:
  void map(int descriptor, std::size_t size);

  std::string path_;
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace rota_lm

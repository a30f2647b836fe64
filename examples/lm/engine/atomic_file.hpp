// Files that are there whole or not at all.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "engine/error.hpp"

namespace rota_lm {

/// Writes beside `path` and moves the result there on commit(). Without a commit, by an exception
/// say, nothing is left and what was at `path` stays.
class atomic_file {
 public:
  explicit atomic_file(std::string path)
      : path_(std::move(path)), temporary_(path_ + ".part" + std::to_string(::getpid())) {
    file_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file_ < 0) give_up("cannot be written");
  }
  atomic_file(const atomic_file&) = delete;
  atomic_file& operator=(const atomic_file&) = delete;
  ~atomic_file() {
    if (file_ >= 0) ::close(file_);
    if (!committed_) ::unlink(temporary_.c_str());
  }

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::write(file_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) give_up("cannot be written");
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
  }

  /// All that was written is on the disk and at `path`.
  void commit() {
    if (::fsync(file_) != 0) give_up("cannot be written");
    if (::close(std::exchange(file_, -1)) != 0) give_up("cannot be written");
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0) give_up("cannot be replaced");
    committed_ = true;
  }

 private:
  [[noreturn]] void give_up(const char* what) const {
    fail(path_, std::string(what) + ": " + std::strerror(errno));
  }

  std::string path_, temporary_;
  int file_ = -1;
  bool committed_ = false;
};

}  // namespace rota_lm

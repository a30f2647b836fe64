// A file that is there whole or not at all.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/error.hpp"

namespace rota_lm {

/// Who may read a file. A cache tells what was in the prompt: its owner alone. A predictor's
/// weights: whoever the process's umask lets.
enum class readers { owner, as_usual };

/// Writes a new file beside `path` and puts it in the place of `path` by commit(), in one step of
/// the file system: whoever opens `path` finds the old file or the new one. Without commit() the
/// new file is removed.
class atomic_file {
 public:
  /// Throws when no file can be written there: to be called before the work whose result it takes.
  explicit atomic_file(std::string path, readers who = readers::owner)
      : path_(std::move(path)), temporary_(path_ + ".XXXXXX") {
    if (std::error_code ignored; std::filesystem::is_directory(path_, ignored)) {
      fail(path_, "cannot be written: is a folder");
    }
    file_ = ::mkostemp(temporary_.data(), O_CLOEXEC);
    if (file_ < 0) refuse();
    if (who == readers::as_usual) ::fchmod(file_, 0666 & ~usual_mask());
  }
  atomic_file(const atomic_file&) = delete;
  atomic_file& operator=(const atomic_file&) = delete;
  ~atomic_file() {
    if (file_ >= 0) ::close(file_);
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
  }

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ::ssize_t n = ::write(file_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) refuse();
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
  }

  /// The file is on the disk, under its name, when this returns.
  void commit() {
    if (::fsync(file_) != 0) refuse();
    if (::close(std::exchange(file_, -1)) != 0) refuse();
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) refuse();
    temporary_.clear();
    sync_folder();
  }

 private:
  static ::mode_t usual_mask() {
    const ::mode_t mask = ::umask(0);
    ::umask(mask);
    return mask;
  }

  [[noreturn]] void refuse() const {
    fail(path_, std::string("cannot be written: ") + std::strerror(errno));
  }

  /// The new name is in the folder, which has its own place on the disk. Some file systems cannot
  /// sync folders; the file is whole all the same.
  void sync_folder() const {
    const std::filesystem::path folder = std::filesystem::path(path_).parent_path();
    const std::string name = folder.empty() ? "." : folder.string();
    const int fd = ::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    static_cast<void>(::fsync(fd));
    ::close(fd);
  }

  std::string path_;
  std::string temporary_;
  int file_ = -1;
};

}  // namespace rota_lm
